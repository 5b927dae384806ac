"""The filters of a layer as panels: all of them, the slices of a few, and their roughness beside its controls."""

import math

import numpy as np
from numpy.typing import NDArray

from convscope.render.figure import Panel, Tile, TileRow
from convscope.render.fonts import format_row
from convscope.render.panels import Curve, HeatMap, Series, Tiles
from convscope.render.pixels import Pixels, Values, colour, to_bytes
from convscope.techniques.filters import Filters

DRAWN = 256  # filters at most
SLICES = 32  # of one filter at most
EMPTY = "≈ 0"
WIDE = 760.0  # CSS px that a row of tiles may take
BEYOND = 0.005  # of the weights may lie beyond the scale, so that a few great ones do not turn the rest grey


def filter_panels(result: Filters) -> tuple[Panel, ...]:
    """All filters, slices of the smoothest and the roughest, and how rough they are; 1×1 ones as a table of colours."""
    if result.weights.shape[2:] == (1, 1) and not result.first:
        return (weight_map(result),)
    panels: list[Panel] = [filter_tiles(result)]
    rough = bool(result.roughness.isfinite().any())
    if rough and result.weights.shape[1] > 1 and not result.first:
        panels.append(slice_tiles(result))
    if rough:
        panels.append(roughness_curve(result))
    return tuple(panels)


def filter_tiles(result: Filters) -> Tiles:
    """Every filter as one tile: its colours where it reads pixels, else its leading spatial pattern."""
    count = min(len(result.weights), DRAWN)
    values = (result.weights if result.first else result.components)[:count].numpy()
    limit, outside = scale_of(values)
    pictures = [rgb(filter_, limit) if result.first else diverging(filter_, limit) for filter_ in values]
    rough = result.roughness[:count].numpy()
    words = format_row(rough.tolist()) if np.isfinite(rough).any() else [""] * count
    empty = empty_filters(result)[:count]
    tiles = [
        Tile(picture, footer=EMPTY if nothing else text)
        for picture, text, nothing in zip(pictures, words, empty, strict=True)
    ]
    side = 56.0 if count <= 96 else 40.0
    across = across_of(count, side)
    rows = tuple(
        TileRow(f"{start}–{min(start + across, count) - 1}", "", tuple(tiles[start : start + across]))
        for start in range(0, count, across)
    )
    return Tiles(title_of(result), rows, tiles_caption(result, count, limit, outside), side, "", smooth=False)


def tiles_caption(result: Filters, count: int, limit: float, outside: float) -> str:
    """What a tile is, its scale, the sample, and the verdict."""
    total = len(result.weights)
    size = "×".join(str(axis) for axis in result.weights.shape[2:])
    all_of = f"All {total:,}" if count == total else f"The first {count:,} of {total:,}"
    beyond = f", beyond it {outside:.1%} of them" if outside else ""
    if result.first:
        shown = f"red, green and blue are the weights of these colours; mid-grey is 0, the scale ±{limit:.2g}{beyond}"
    elif result.weights.shape[1] == 1:
        shown = f"grey is 0, blue negative, orange positive, the scale ±{limit:.2g}{beyond}"
    else:
        part = float(result.explained.nanmean())
        shown = (
            f"each as its leading spatial pattern, on average {part:.0%} of its energy; grey is 0, blue negative, "
            f"orange positive, the scale ±{limit:.2g}{beyond}"
        )
    below = "; the number below is the roughness" if bool(result.roughness.isfinite().any()) else ""
    empty = int(empty_filters(result)[:count].sum())
    below += (
        f"; {EMPTY}: the greatest weight is below 1 % of the layer's ({empty:,} filter{'s' * (empty != 1)})"
        if empty
        else ""
    )
    return (
        f"{capital(result.verdict)}. {all_of} filters of {size}, by their number: {shown}, one for all; "
        f"BatchNorm not folded in{below}."
    )


def slice_tiles(result: Filters) -> Tiles:
    """A few filters, smoothest first, as the slices of their strongest input channels."""
    chosen = spread(result.roughness.numpy(), 4)
    weights = result.weights[chosen].numpy()
    limit, outside = scale_of(weights)
    count = min(weights.shape[1], SLICES)
    half = math.ceil(count / 2) if count > 16 else count
    rows = []
    for number, filter_ in zip(chosen, weights, strict=True):
        strongest = np.argsort(-(filter_**2).sum((1, 2)), kind="stable")[:count]
        tiles = [Tile(diverging(filter_[channel], limit), footer=str(channel)) for channel in strongest]
        rows.append(TileRow(f"filter {number}", f"roughness {result.roughness[number]:.2f}", tuple(tiles[:half])))
        if tiles[half:]:
            rows.append(TileRow("", "", tuple(tiles[half:])))
    beyond = f", beyond it {outside:.1%} of the weights" if outside else ""
    caption = (
        f"{len(chosen)} of {len(result.weights):,} filters, from the smoothest to the roughest, as slices: the "
        f"{count} strongest of {weights.shape[1]:,} input channels, strongest first, the channel's number below. "
        f"Grey is 0, blue negative, orange positive, the scale ±{limit:.2g} for all{beyond}."
    )
    return Tiles(f"{result.layer}, slices", tuple(rows), caption, 40.0, "", smooth=False)


def roughness_curve(result: Filters) -> Curve:
    """How many filters are how rough, beside the same number of shuffled and of untrained ones."""
    values = [series.numpy() for series in (result.roughness, result.shuffled, result.untrained)]
    values = [one[np.isfinite(one)] for one in values]
    greatest = max(float(one.max()) for one in values) * 1.02
    edges = np.linspace(0, greatest, int(np.clip(3 * math.sqrt(len(values[0])), 10, 48)) + 1)
    means = (result.mean_roughness, result.shuffled_roughness, result.initial_roughness)
    series = tuple(
        Series(f"{name}, mean {mean:.2f}", edges, np.histogram(one, edges)[0].astype(float), control=name != "filters")
        for name, mean, one in zip(("filters", "shuffled", "random weights"), means, values, strict=True)
    )
    channels = result.weights.shape[1]
    part = (
        ""
        if result.shuffled_slices == channels
        else f", in the {result.shuffled_slices} of {channels} slices that vary most"
    )
    flat = f" {result.constant:,} constant filters are left out." if result.constant else ""
    caption = (
        f"{capital(result.verdict)}. Roughness of {len(values[0]):,} filters, mean {result.mean_roughness:.3f}: half "
        "the mean squared step between neighbours over the variance; smooth is 0, noise n/(n − 1). Controls: the same "
        f"weights in random order, mean {result.shuffled_roughness:.3f} (95 % of {result.shuffles} shuffles"
        f"{part}: {result.shuffled_low:.3f} to {result.shuffled_high:.3f}; p = {result.p_value:.2g} that these are as "
        f"smooth), and random initialisation, mean {result.initial_roughness:.3f} ({result.initial_low:.3f} to "
        f"{result.initial_high:.3f}). Pattern entropy {result.pattern_entropy:.3f}, shuffled "
        f"{result.shuffled_pattern_entropy:.3f} (p = {result.pattern_p_value:.2g}). Seed {result.seed}.{flat}"
    )
    return Curve(f"{result.layer}, roughness", series, "roughness", "filters", caption, style="bars")


def weight_map(result: Filters) -> HeatMap:
    """A layer of 1×1 filters: one row a filter, one column an input channel."""
    values = result.weights[:DRAWN, :DRAWN, 0, 0].numpy()
    limit, outside = scale_of(values)
    filters, channels = result.weights.shape[:2]
    beyond = f"; beyond the scale {outside:.1%}" if outside else ""
    caption = (
        f"{capital(result.verdict)}. The weights from the first {values.shape[1]:,} of {channels:,} input channels to "
        f"the first {values.shape[0]:,} of {filters:,} filters{beyond}."
    )
    labels = {"row_label": "filter", "column_label": "input channel"}
    return HeatMap(title_of(result), values, caption, "weight", signed=True, limits=(-limit, limit), **labels)


def scale_of(values: Values) -> tuple[float, float]:
    """The weight at the ends of the colours, and the share of weights beyond it."""
    sizes = np.abs(values)
    limit = float(np.quantile(sizes, 1 - BEYOND))
    if limit < sizes.max() / 1.5 and limit > 0:
        return limit, float((sizes > limit).mean())
    return float(sizes.max()) or 1.0, 0.0


def empty_filters(result: Filters) -> NDArray[np.bool_]:
    """Which filters have no weight above a hundredth of the layer's greatest."""
    greatest = result.weights.abs().amax((1, 2, 3)).numpy()
    return np.asarray(greatest < 0.01 * greatest.max())


def rgb(filter_: Values, limit: float) -> Pixels:
    """Three slices as red, green and blue; 0 is mid-grey."""
    return to_bytes(0.5 + filter_.transpose(1, 2, 0) / (2 * limit))


def diverging(slice_: Values, limit: float) -> Pixels:
    """A slice in blue and orange; 0 is mid-grey."""
    return colour(slice_, signed=True, limits=(-limit, limit))


def across_of(count: int, side: float) -> int:
    """How many tiles stand in a row: a power of two that fits, or all."""
    most = int((WIDE + 6) // (side + 6))
    return min(count, 1 << (most.bit_length() - 1))


def spread(values: NDArray[np.float32], count: int) -> list[int]:
    """The indices of so many values, evenly from the least to the greatest."""
    order = [int(index) for index in np.argsort(values, kind="stable") if np.isfinite(values[index])]
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [order[place] for place in places]


def title_of(result: Filters) -> str:
    """Layer, network and verdict in a word."""
    word = "" if result.grade == "none" else f": {result.grade} filters"
    return f"{result.layer}, {result.net}{word}"


def capital(text: str) -> str:
    """The text with a capital letter at its start."""
    return text[:1].upper() + text[1:]
