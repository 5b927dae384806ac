"""Vitals of a layer and the health of a net as panels: how often units fire, how strongly, and which are dead."""

import numpy as np
from numpy.typing import NDArray

from convscope.render.figure import Panel
from convscope.render.panels import Column, Curve, HeatMap, Series, Table
from convscope.studies.health import Health
from convscope.studies.vitals import RARE, Vitals

BINS = 40  # rows of the map of maxima
COLUMNS = 96


def vitals_panels(result: Vitals) -> tuple[Panel, ...]:
    """How often the units fire, the distribution of each one's maxima, and the units one by one."""
    return (firing_curve(result), maxima_map(result), unit_table(result))


def firing_curve(result: Vitals) -> Curve:
    """How many units fire on how many of the images."""
    edges = np.linspace(0, 1, 26)
    counts = np.histogram(result.active_images, edges)[0].astype(float)
    caption = (
        f"In what share of the {result.images:,} images each of the {len(result.maximum):,} units rises above 0 "
        f"somewhere. {state_words(result)}"
    )
    series = (Series("units", edges, counts),)
    return Curve(title_of(result), series, "share of the images", "units", caption, log_y=True, style="bars")


def state_words(result: Vitals) -> str:
    """How many units are dead, rarely active or without gradient, and what that means."""
    parts = []
    dead, rare, still = (int(flags.sum()) for flags in (result.dead, result.rarely_active, result.gradient_dead))
    if dead:
        parts.append(
            f"{units(dead)} never above 0: on fewer than {result.dead_bound:.2g} of such images (3/N, 95 % confidence)."
        )
    else:
        parts.append("None is dead: each rises above 0 on some image.")
    if rare:
        parts.append(f"{units(rare)} rarely active: on fewer than {RARE:.0%} of them.")
    parts.append(
        f"{units(still)} without gradient on {result.gradient_sample:,} images: training could not mend them."
        if still
        else f"A gradient reaches every unit ({result.gradient_sample:,} images)."
    )
    return " ".join(parts)


def units(count: int) -> str:
    """A number of units in words."""
    return f"{count:,} unit" + ("" if count == 1 else "s")


def maxima_map(result: Vitals) -> HeatMap:
    """The histogram of the greatest activation in each image, a column for each unit or for some that are alike."""
    shares, low, high, limit = maxima(result)
    count, columns = len(result.mean), shares.shape[1]
    each = "one unit" if columns == count else f"{count / columns:.3g} units (of {count:,})"
    caption = (
        f"Each column is {each}, from the weakest mean at the left to the strongest at the right; upwards the greatest "
        f"activation in an image, from {low:.3g} at the bottom to {high:.3g} at the top; the brightness is the share "
        f"of the {result.images:,} images."
    )
    return HeatMap(
        f"{result.layer}, maxima",
        shares,
        caption,
        "share of images",
        limits=(0, limit),
        row_label=f"activation, {low:.3g} to {high:.3g}",
        column_label="units, weakest to strongest",
    )


def maxima(result: Vitals) -> tuple[NDArray[np.float64], float, float, float]:
    """(bins, columns) the share of the images; the activations at the lower and upper edge; the brightest share.

    A column is a unit, or the mean of some whose means are next to each other; the greatest activation is on top.
    """
    low, high = min(float(result.edges[:, 0][lowest(result)].min(initial=0)), 0.0), float(result.maximum.max())
    high = high if high > low else low + 1
    edges = np.linspace(low, high, BINS + 1)
    groups = np.array_split(np.argsort(result.mean, kind="stable"), min(len(result.mean), COLUMNS))
    columns = [
        np.mean([rebinned(result.histogram[unit], result.edges[unit], edges) for unit in group], axis=0)
        for group in groups
    ]
    shares = np.stack(columns).T[::-1]
    return shares, low, high, float(np.quantile(shares, 0.995)) or 1.0


def lowest(result: Vitals) -> NDArray[np.bool_]:
    """The units of which some maxima are below 0."""
    half = result.histogram.shape[1] // 2
    return np.asarray(result.histogram[:, :half].sum(axis=1) > 0)


def rebinned(histogram: NDArray[np.int32], own: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """A unit's shares in other bins, each of its own spread evenly over where it lies; the outer ones take the rest."""
    below = np.concatenate([[0.0], np.cumsum(histogram, dtype=np.float64)])
    found = np.interp(edges, own, below)
    found[0], found[-1] = 0, below[-1]
    return np.asarray(np.diff(found) / max(below[-1], 1))


def unit_table(result: Vitals) -> Table:
    """A line for each unit, those that fire least first."""
    columns = (
        Column("unit"), Column("maximum"), Column("mean"), Column("images", "%"), Column("places", "%"),
        Column("radius", "cells"), Column("gradient"), Column("state", align="left"),
    )  # fmt: skip
    rows = tuple(
        (
            int(unit),
            float(result.maximum[unit]),
            float(result.mean[unit]),
            100 * float(result.active_images[unit]),
            100 * float(result.active_places[unit]),
            float(result.radius[unit]),
            float(result.gradient[unit]),
            result.state(int(unit)),
        )
        for unit in np.argsort(result.active_images, kind="stable")
    )
    caption = (
        f"Units by how seldom they fire. Maximum and mean of the greatest activation in each of {result.images:,} "
        f"images; images: share in which it rises above 0; places: share of places above 0, radius: root mean square "
        f"distance of a map's activation from its centre, both over a sample of {result.sample:,} images; gradient: "
        f"the greatest one of the scores that reaches it, over {result.gradient_sample:,}. The layer: "
        f"{result.fraction_zero:.1%} zeros, Hoyer sparsity {result.hoyer:.2f}, Treves-Rolls {result.treves_rolls:.2f}."
    )
    return Table(f"{result.layer}, units", columns, rows, caption)


def title_of(result: Vitals) -> str:
    """Layer, network and how many are dead."""
    dead = int(result.dead.sum())
    return f"{result.layer}, {result.net}" + (f": {dead:,} dead" if dead else "")


def health_panels(result: Health) -> tuple[Panel, ...]:
    """Sparsity and locality through depth, and a table of all layers."""
    return (depth_curve(result), locality_curve(result), layer_table(result))


def depth_curve(result: Health) -> Curve:
    """How the share of zeros and the sparsity change with depth."""
    at = np.flatnonzero(result.dead >= 0)  # where 0 means silence
    series = (
        Series("zeros", at + 1.0, result.fraction_zero[at]),
        Series("Hoyer sparsity", at + 1.0, result.hoyer[at]),
    )
    caption = (
        f"The {len(at)} layers that are rectified, by their number among the {len(result.layers)} followed: the share "
        "of activations that are 0, and how few carry the rest (Hoyer: 0 all alike, 1 a single one); means over "
        f"{result.sample:,} images."
    )
    return Curve(f"Sparsity through depth, {result.net}", series, "layer", "share", caption)


def locality_curve(result: Health) -> Curve:
    """How far the activation of a map spreads, through depth."""
    depth = np.arange(1, len(result.layers) + 1, dtype=float)
    series = (
        Series("radius of activation", depth, result.radius),
        Series("area above half the maximum", depth, result.half_area),
    )
    caption = (
        "How local the maps are: the mean distance of the activation from its centre, as a share of half the map's "
        "diagonal (0 a point, 0.58 even), and the share of places above half of the map's maximum; means over the "
        f"units and images that fire, of {result.sample:,}. Vectors have no places."
    )
    return Curve(f"Locality through depth, {result.net}", series, "layer", "share", caption)


def layer_table(result: Health) -> Table:
    """A line for each layer."""
    columns = (
        Column("layer", align="left"), *(
            Column(name, unit, "right")
            for name, unit in (
                ("units", ""), ("dead", ""), ("rare", ""), ("no gradient", ""),
                ("zeros", "%"), ("Hoyer", ""), ("radius", ""), ("half area", "%"),
            )
        ),
    )  # fmt: skip
    rows = tuple(
        (
            layer,
            int(result.units[at]),
            *(int(n[at]) if n[at] >= 0 else "–" for n in (result.dead, result.rarely_active, result.gradient_dead)),
            100 * float(result.fraction_zero[at]),
            float(result.hoyer[at]),
            *(
                factor * float(n[at]) if np.isfinite(n[at]) else "–"
                for factor, n in ((1, result.radius), (100, result.half_area))
            ),
        )
        for at, layer in enumerate(result.layers)
    )
    right = f"Accuracy {result.accuracy:.1%} of {result.labelled:,} images with a label that is a class. "
    caption = (
        (right if result.labelled else "No image has a label that is a class, so no accuracy is claimed. ")
        + f"Dead: never above 0 on {result.images:,} images; rare: above 0 on fewer than {RARE:.0%} of them; no "
        f"gradient: none of the scores reaches the unit on {result.gradient_sample:,}; the rest over "
        f"{result.sample:,}. A dash where a number has no meaning."
    )
    return Table(f"Health of {result.net}", columns, rows, caption)
