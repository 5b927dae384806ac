"""Which units are shown: examples for the overview by a rule, and as many of each layer as fit into one file."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.faces.answers.patches import Patches

EXAMPLES = 3  # units of a layer that the overview can show
CONTROLS = 2  # random directions that are shown beside units
LABELS = 3  # that an example's patches come from, at least: one photo seen nine times says little


def exemplary_units(layer: Patches, labels: Sequence[str | None]) -> list[int]:
    """The units with the highest activation (before a ceiling) whose patches come from at least three labels.

    Where no unit is like that, any active unit. A unit that shares more than half of its images with one chosen
    before is passed over.
    """
    known = {label for label in labels if label}
    several = np.array([variety(rows, labels if len(known) >= LABELS else None) >= LABELS for rows in layer.rows])
    active = np.isin(np.arange(len(layer.rows)), layer.shown)
    ranked = np.flatnonzero(active & several if (active & several).any() else active)
    ranked = ranked[np.lexsort((ranked, -layer.drives[ranked, 0]))]
    chosen: list[int] = []
    for unit in ranked.tolist():
        own = set(layer.rows[unit].tolist())
        if all(len(own & set(layer.rows[other].tolist())) * 2 <= len(own) for other in chosen):
            chosen.append(unit)
        if len(chosen) == EXAMPLES:
            break
    return chosen


def variety(rows: NDArray[np.int32], labels: Sequence[str | None] | None) -> int:
    """How many labels some images have; how many images they are, where labels say nothing."""
    filled = rows[rows >= 0].tolist()
    return len({labels[row] for row in filled} if labels is not None else set(filled))


def exemplary_layers(net: Mapping[str, Any], known: Mapping[str, Any], followed: Sequence[str]) -> list[str]:
    """The layers of the overview: the net's suggested ones that were followed (else a few of all), and the output."""
    suggested = {known[name]["name"] for name in net["suggested_layers"] if name in known}
    found = [name for name in followed if name in suggested]
    if not found:
        inner = [name for name in followed if name != net["output"]]
        found = [inner[round(step * (len(inner) - 1) / 4)] for step in range(5)] if inner else []
    if net["output"] in followed:
        found.append(net["output"])
    return list(dict.fromkeys(found))


def choose_units(
    layers: Sequence[Patches], examples: Mapping[str, Sequence[int]], count: int, budget: int
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """The units to show of each layer, and the rows of the images in the file.

    All of both where that is within the budget; else equally many units of each layer, evenly spaced over those
    that have something to show, with the examples among them.
    """
    whole = {layer.name: np.arange(len(layer.rows)) for layer in layers}
    if count <= budget:
        return whole, np.arange(count)
    if len(rows := needed(layers, {layer.name: layer.shown for layer in layers})) <= budget:
        return whole, rows
    fits, too_many = 1, max((len(layer.shown) for layer in layers), default=1)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if len(needed(layers, spaced(layers, examples, middle))) <= budget:
            fits = middle
        else:
            too_many = middle
    units = spaced(layers, examples, fits)
    return units, needed(layers, units)


def spaced(
    layers: Sequence[Patches], examples: Mapping[str, Sequence[int]], count: int
) -> dict[str, NDArray[np.int64]]:
    """So many units of each layer, evenly spaced, and the examples."""
    found = {}
    for layer in layers:
        steps = np.linspace(0, len(layer.shown) - 1, min(count, len(layer.shown))).round().astype(int)
        found[layer.name] = np.union1d(layer.shown[steps], np.array(examples.get(layer.name, ()), np.int64))
    return found


def needed(layers: Sequence[Patches], units: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """The rows of all images that some units' patches are cut from, in order."""
    rows = [np.unique(layer.rows[units[layer.name]]) for layer in layers]
    rows += [np.unique(layer.middle.rows[units[layer.name]]) for layer in layers if layer.middle is not None]
    rows += [np.unique(layer.directions.rows[:CONTROLS]) for layer in layers if layer.directions is not None]
    every = np.unique(np.concatenate(rows)).astype(np.int64) if rows else np.zeros(0, np.int64)
    return every[every >= 0]
