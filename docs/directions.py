"""Do patches of random directions look as coherent as those of units? The second half of the rotation note.

Szegedy et al. 2014, Intriguing properties of neural networks, section 3 (arXiv:1312.6199).
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import convscope
from convscope.faces.demo import cut_regions
from convscope.render.exemplars import tiles_of
from convscope.render.figure import compose
from convscope.render.panels import TileRow, Tiles
from convscope.studies.exemplars import read_patches

DIRECTIONS = 128  # a layer
PATCH = 24  # px: the side that patches are brought to before their pixels are compared
DRAWS = 1000  # of nine patches of nine units
SHOWN = 4  # units and directions in a picture
MEASURES = {  # fields of Nines → marks in the page
    "scenes": "scenes among nine",
    "all_codes": "codes alike, all pairs",
    "codes": "codes alike",
    "pixels": "patches alike",
}


def directions_atlas(demo: Path, net: str, layers: Sequence[str]) -> convscope.Atlas:
    """The demo's regions with many directions, also of linear layers, which the demo's own atlas does not follow."""
    cut_regions(demo / "regions")
    out = demo / "directions"
    return convscope.build(demo / "regions", net, out, layers=layers, directions=DIRECTIONS, overwrite=True)


@dataclass(frozen=True)
class Nines:
    """Many sets of nine patches, by what was measured of each; NaN where a set has no pair from different scenes."""

    scenes: NDArray[np.float64]  # how many different scenes are among the nine images
    all_codes: NDArray[np.float64]  # mean cosine of the images' codes, all 36 pairs
    codes: NDArray[np.float64]  # the same, pairs from different scenes only
    pixels: NDArray[np.float64]  # mean correlation of the patches' colours, pairs from different scenes only


def alike(vectors: NDArray[np.float64], scenes: Sequence[Any]) -> float:
    """Mean of the cosines of all pairs (of vectors of length 1) that do not come from the same scene."""
    first, second = np.triu_indices(len(scenes), 1)
    apart = np.asarray(scenes)[first] != np.asarray(scenes)[second]
    cosines = (vectors[first] * vectors[second]).sum(axis=1)[apart]
    return float(cosines.mean()) if len(cosines) else np.nan


def unit_length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same with length 1; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def colours(picture: NDArray[np.uint8], box: Sequence[float]) -> NDArray[np.float64]:
    """The patch inside a box of the network's input, brought to one size, less its mean."""
    top, left, bottom, right = (int(edge) for edge in box)
    patch = Image.fromarray(picture[top:bottom, left:right]).resize((PATCH, PATCH), Image.Resampling.BOX)
    found = np.asarray(patch, np.float64).ravel()
    return found - found.mean()


def scenes_of(atlas: convscope.Atlas) -> NDArray[np.str_]:
    """The photo that each region is from; the two views of the motorcycle are one scene."""
    return np.array([label.removesuffix("_left").removesuffix("_right") for label in atlas.images["label"].to_pylist()])


def measure(atlas: convscope.Atlas) -> Iterator[tuple[str, dict[str, Nines]]]:
    """For every followed layer the nines of its units, of random directions, and of patches of nine different units."""
    scenes, random = scenes_of(atlas), np.random.default_rng(0)
    codes = unit_length(atlas.codes().astype(np.float64))
    pictures = [atlas.pixels(row) for row in range(len(scenes))]
    for number, layer in enumerate(atlas.layers):
        rows, boxes, values = (atlas.store.of_layer(layer, f"strongest/{name}") for name in ("rows", "boxes", "values"))
        fires = np.isfinite(values[:, -1]) & (values[:, -1] > 0 if values.min() >= 0 else True)
        rows, boxes = rows[fires], boxes[fires]
        part = slice(number * DIRECTIONS, (number + 1) * DIRECTIONS)
        picks = [(random.choice(len(rows), 9, replace=False), random.integers(9, size=9)) for _ in range(DRAWS)]
        sets = {
            "units": (rows, boxes),
            "directions": tuple(atlas.store.array(f"directions/{name}")[part] for name in ("rows", "boxes")),
            "mixed": tuple(np.array([kept[pick] for pick in picks]) for kept in (rows, boxes)),
        }
        found = {}
        for name, (images, places) in sets.items():
            patches = [
                unit_length(np.array([colours(pictures[row], box) for row, box in zip(nine, nine_boxes, strict=True)]))
                for nine, nine_boxes in zip(images, places, strict=True)
            ]
            found[name] = Nines(
                np.array([len(set(scenes[nine])) for nine in images], np.float64),
                np.array([alike(codes[nine], range(9)) for nine in images]),
                np.array([alike(codes[nine], scenes[nine]) for nine in images]),
                np.array([alike(one, scenes[nine]) for one, nine in zip(patches, images, strict=True)]),
            )
        yield layer, found


def means(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """The mean, then those of 2,000 bootstrap samples."""
    values = values[np.isfinite(values)]
    return np.concatenate([[values.mean()], random.choice(values, (2000, len(values))).mean(axis=1)])


def interval(found: NDArray[np.float64], sign: str = "") -> str:
    """The mean, and between which bounds 95 % of the bootstrap samples lie."""
    low, high = np.quantile(found[1:], (0.025, 0.975))
    texts = [f"{value:{sign}.2f}".replace("-", "−") for value in (found[0], low, high)]
    mean, low_text, high_text = ("0.00" if text in ("+0.00", "−0.00") else text for text in texts)
    return f"{mean} ({low_text} to {high_text})"


def coherence_tables(atlas: convscope.Atlas) -> dict[str, tuple[Sequence[str], list[Sequence[str]]]]:
    """One table for each measure: units and directions, their difference, and the control."""
    measured, random = list(measure(atlas)), np.random.default_rng(0)
    head = ("layer", "N", "units", "random directions", "units − directions", "*control:* nine different units")
    tables: dict[str, tuple[Sequence[str], list[Sequence[str]]]] = {}
    for name, title in MEASURES.items():
        rows: list[Sequence[str]] = []
        for layer, nines in measured:
            values = {kind: getattr(one, name) for kind, one in nines.items()}
            counts = " / ".join(f"{np.isfinite(values[kind]).sum():,}" for kind in ("units", "directions"))
            units, directions, mixed = (means(values[kind], random) for kind in ("units", "directions", "mixed"))
            difference = interval(units - directions, "+")
            rows.append((f"`{layer}`", counts, interval(units), interval(directions), difference, f"{mixed[0]:.2f}"))
        tables[title] = head, rows
    return tables


def pictures(atlas: convscope.Atlas, layers: Mapping[str, str], folder: Path) -> None:
    """One picture for each layer: some units, drawn by lot, above the first of its random directions."""
    for name, layer in layers.items():
        start, count = atlas.store.followed[layer]
        first = atlas.layers.index(layer) * DIRECTIONS
        units = sorted(np.random.default_rng(0).choice(count, SHOWN, replace=False).tolist())
        chosen = [(f"unit {unit}", "strongest", start + unit) for unit in units]
        chosen += [(f"direction {number}", "directions", first + number) for number in range(SHOWN)]
        rows = []
        for title, fold, position in chosen:
            patches = read_patches(atlas.store, fold, position, 9)
            top = f"max {patches[0].value:.3g}" if patches else ""
            rows.append(TileRow(title, top, tiles_of(patches), control=fold == "directions"))
        caption = (
            f"Above: {SHOWN} of its {count} units, drawn by lot. Below, on grey: {SHOWN} random directions of the same "
            f"space, the control. Each row: its nine strongest of {len(atlas.images)} regions of photos, one place a "
            "region, strongest first. The white box is all that can matter there; the word below is the photo."
        )
        title = f"{layer}, {name}, {atlas.store.manifest['net']['name']}"
        drawn = compose([Tiles(title, tuple(rows), caption, tile_side=84)], "", scale=1)
        Image.open(io.BytesIO(drawn)).convert("RGB").save(folder / f"rotation-{name}.jpg", quality=76, optimize=True)
