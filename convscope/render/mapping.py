"""A map as panels: points by label, the images themselves where they lie, and how true it is."""

from collections import Counter

import numpy as np

from convscope.layouts.quality import K
from convscope.layouts.tsne import LEAST
from convscope.render.charts import Column
from convscope.render.figure import Panel
from convscope.render.mosaic import map_picture
from convscope.render.panels import Overlay, Scatter, Table
from convscope.studies.mapping import Map

SIZE = 1920  # px of the picture of images
NAMED = 9  # labels that have a colour


def map_panels(found: Map) -> tuple[Panel, ...]:
    """The points, the images, and the numbers."""
    return (points(found), pictures(found), numbers(found)) if found.complete else (points(found),)


def points(found: Map) -> Scatter:
    """One point an image, the most frequent labels in colours."""
    frequent = [label for label, _ in Counter(one for one in found.labels if one).most_common(NAMED)]
    rest = next(name for name in ("others", "all others", "the rest", "") if name not in frequent)
    kinds = tuple(one if one in frequent else rest for one in found.labels) if frequent else None
    others = f" The {NAMED} most frequent labels have colours." if kinds and rest in kinds else ""
    halt = "" if found.complete else " It was stopped, or is still under way."
    return Scatter(
        f"{found.net}, {found.layer}: map of {len(found.positions):,} images",
        found.positions[:, 0].astype(np.float64),
        found.positions[:, 1].astype(np.float64),
        f"{how(found)}{others} Near points are images that the network finds alike; the distances between "
        f"clusters, and their sizes, carry little meaning.{halt}",
        kinds=kinds,
    )


def how(found: Map) -> str:
    """What is mapped, and how."""
    behind = "behind a rectifier" if found.rectified else "not behind a rectifier"
    codes = f"Codes of {found.layer} ({found.dimension:,} numbers, {behind})"
    if found.method == "pca":
        return f"{codes}, their first two principal components."
    if found.laid_out < LEAST:
        return f"{codes}, too few for t-SNE: their first two principal components."
    rest = len(found.positions) - found.laid_out
    placed = f", {rest:,} of them placed among {found.laid_out:,}" if rest else ""
    begun = f", begun with the map of {found.begun}" if found.begun else ""
    return f"{codes} by t-SNE, perplexity {found.perplexity:.3g}, seed {found.seed}{placed}{begun}."


def pictures(found: Map) -> Overlay:
    """The images where they lie."""
    picture, shown = map_picture(found, SIZE)
    caption = (
        f"The images themselves where they lie; where several would lie on one another, the first is shown: "
        f"{shown:,} of {len(found.positions):,}."
    )
    return Overlay(f"{found.layer}: the images on the map", picture, caption, side=SIZE / 2)


def numbers(found: Map) -> Table:
    """How true the map is to codes and to pixels, and how alike neighbours are."""
    columns = (Column("", "", "left"), Column("codes"), Column("map"), Column("pixels"), Column("chance"))
    shares, truth, pixels = found.purity, found.truth, found.pixel_truth
    rows = (
        (f"{K} nearest have the same label", *map(share, (shares.codes, shares.map, shares.pixels, shares.chance))),
        (f"the map keeps of their {K} nearest", share(truth.recall), "", share(pixels.recall), ""),
        ("trustworthiness of the map", number(truth.trustworthiness), "", number(pixels.trustworthiness), ""),
        ("correlation of distances on the map", number(truth.distances), "", number(pixels.distances), ""),
    )
    count = found.purity.images or found.truth.sample
    caption = (
        f"Neighbours by code, on the map, and by the pixels of small pictures, of {count:,} images. The first line "
        "says whether likeness is one of meaning; the others how much of the neighbourhoods by code and by pixels the "
        "map keeps. Images cut from one photo are alike in both."
    )
    return Table(f"{found.layer}: how true the map is", columns, rows, caption)


def share(value: float) -> str:
    """In per cent."""
    return "–" if np.isnan(value) else f"{value:.0%}"


def number(value: float) -> str:
    """With two digits."""
    return "–" if np.isnan(value) else f"{value:.2f}"
