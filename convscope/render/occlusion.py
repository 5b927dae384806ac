"""An occlusion map as panels: where hiding hurts, the maps side by side, the classes, the places that hurt most.

Zeiler & Fergus 2014, figure 7: (a) is the white box and the last tiles, (b) the unit, (d) the probability, (e) the
class. Cells on an image lie at the middles of the positions, so half a window stays uncovered at its border.
"""

from collections import ChainMap, Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.render import pixels
from convscope.render.figure import Panel, Tile, TileRow
from convscope.render.fonts import Canvas, Palette, ellipsize, with_unit
from convscope.render.panels import HeatMap, Overlay, Tiles, Windows, plain
from convscope.render.pixels import Box, Limits, Pixels, Values
from convscope.techniques.occlusion import OcclusionMap, Quantity

DRAWN = 6  # targets at most, and classes with a hue of their own
OVERLAY, SEVERAL = 448.0, 200.0  # CSS px: an overlay's longer side; where there are several of them
MAP, HEAD, GAP, BAR = 156.0, 22.0, 20.0, 112.0  # CSS px: a small map, its title, between two; a colour bar at least
ACROSS, TOGETHER = 3, 4  # small maps in a row, each with its colour bar; with one bar for all
CLASS, CLASSES, FALL, FALLEN = 180.0, 4, 148.0, 5  # CSS px: a tile of the classes, how many in a row; so of the falls
LEAST = 1e-3  # a change below this share of what there is without the window is no change at a glance
HUES = ((96, 125, 172), (217, 160, 61), (92, 160, 134), (168, 109, 168), (200, 106, 92), (150, 158, 78))
OTHERS, OPACITY = (176, 176, 176), 0.62  # the hue of all further classes; of the hues on the grey image
NAMES: dict[Quantity, str] = {"probability": "probability", "score": "score", "log_odds": "log-odds"}
FILLS = {"zero": "black", "mean": "the network's mean colour", "grey": "mid-grey", "noise": "random colours"}
FILLS |= {"blur": "the image out of focus"}
ORANGE = "Orange: hiding this place lowers {0}; blue: it raises {0}; mid-grey: it changes nothing."
PAPER = "of Zeiler & Fergus 2014"


@dataclass(frozen=True, eq=False)
class HeatMaps(HeatMap):
    """Heat maps of one grid side by side, each under its own title; one colour bar where all have the same scale."""

    head: str = ""  # the title over the first map
    beside: tuple[HeatMap, ...] = ()
    unoccluded: tuple[float, ...] = ()  # what there is without the window, for each map

    def numbers(self) -> dict[str, Any]:
        """Those of the first map, and of each other one with its title."""
        others = [{"title": one.title} | one.numbers() for one in self.beside]
        return {"title": self.head, **super().numbers(), "beside": others, "unoccluded": plain(self.unoccluded)}

    def _draw(self, scale: float, palette: Palette) -> Image.Image:
        maps, titles = (self, *self.beside), (self.head, *(one.title for one in self.beside))
        names = [with_unit(one.name, one.unit) for one in maps]
        ends = [pixels.colour_limits(one.values, one.signed, one.limits) for one in maps]
        shared = len(maps) > 1 and len(set(zip(names, ends, strict=True))) == 1
        across = len(maps) if shared and len(maps) <= TOGETHER else min(len(maps), ACROSS)
        cell = min(max(int(2 * MAP / max(self.values.shape)) / 2, 0.5), 56.0)
        high, wide = (min(cell * count, MAP) for count in self.values.shape)
        room = max(pixels.colour_bar_width(name, limits) for name, limits in zip(names, ends, strict=True))
        step, line = wide + room * (not shared) + GAP, HEAD + max(high, BAR) + GAP
        canvas = Canvas(across * step - GAP + room * shared, ceil(len(maps) / across) * line - GAP, scale, palette)
        for index, one in enumerate(maps):
            top, left = index // across * line, index % across * step
            canvas.text(left, top + 12, ellipsize(titles[index], 13, step - 8, "semibold"), 13, weight="semibold")
            size = round(high * scale), round(wide * scale)
            canvas.paste(pixels.heat_pixels(one.values, one.signed, ends[index], size, scale), left, top + HEAD)
            if not shared or index == across - 1:
                values = np.stack([each.values for each in maps]) if shared else one.values
                bar = Canvas(room, max(high, BAR), scale, palette)
                pixels.draw_colour_bar(bar, 0, max(high, BAR), ends[index], one.signed, names[index], values)
                canvas.paste(bar.image, left + wide, top + HEAD)
        return canvas.image


@dataclass(frozen=True, eq=False)
class ClassTiles(Tiles):
    """The most probable class of every cell, and each class by itself."""

    label: NDArray[np.int64] | None = None  # rows × columns; −1 where none was computed
    names: tuple[str, ...] = ()  # of all classes

    def numbers(self) -> dict[str, Any]:
        """Those of the tiles, and the class of every cell by index and name; null where none was computed."""
        rows = [] if self.label is None else [[one if one >= 0 else None for one in row] for row in self.label.tolist()]
        names = [[None if one is None else self.names[one] for one in row] for row in rows]
        return {**super().numbers(), "class_index": rows, "class_name": names}


def occlusion_panels(result: OcclusionMap) -> tuple[Panel, ...]:
    """Where hiding hurts (for each target), the maps, the most probable classes, the places that hurt most."""
    return (*fall_overlays(result), *map_rows(result), class_tiles(result), fall_tiles(result))


def fall_overlays(result: OcclusionMap) -> tuple[Overlay, ...]:
    """An image for each target, on one scale: orange where hiding lowers its probability, blue where it raises it."""
    names, (falls, limits) = drawn_names(result), falls_of(result, "probability")
    windows = Windows(tuple(result.tops.tolist()), tuple(result.lefts.tolist()), *result.window)
    draw = partial(Overlay, heat_box=heat_box(result), name="fall of probability", signed=True, positions=windows)
    panels: list[Overlay] = []
    for name, fall, before in zip(names, falls, clean_of(result, "probability"), strict=True):
        row, column = divmod(int(np.where(np.isfinite(fall), fall, -np.inf).argmax()), fall.shape[1])
        least = before - float(fall[row, column])
        words = f"Without the {shape(result)} it is {digits(before)}"
        boxes: tuple[tuple[Box, str], ...] = ()
        if before - least > LEAST * before:
            boxes = ((result.box(row, column), f"{digits(before)} → {digits(least)}"),)
            words += f"; it falls most, to {digits(least)}, in the white box"
        elif result.done:
            words += "; nowhere does it fall by more than a thousandth of that"
        caption = f"The probability of {name}, on the same scale. {words}.{missing(result)}"
        if not panels:
            size, fill = "×".join(map(str, result.window)), FILLS.get(result.fill, result.fill)
            caption = (
                f"{result.net} looks at {result.image} while a {shape(result)} of {size} px, filled with {fill}, hides "
                f"one place after another: {where(result)}; each cell lies at the middle of its {shape(result)}. "
                f"{ORANGE.format(f'the probability of {name}')} {words}. Every position is computed exactly."
            ) + missing(result)
            more = len(result.targets) - DRAWN
            caption += f" {more} more target{'s are' if more > 1 else ' is'} not drawn." if more > 0 else ""
        side, title = SEVERAL if len(names) > 1 else OVERLAY, f"{name}: where hiding hurts"
        panels.append(draw(title, seen(result), caption, heat=fall, limits=limits, boxes=boxes, side=side))
    return tuple(panels)


def map_rows(result: OcclusionMap) -> tuple[HeatMaps, ...]:
    """The probability, the falls of score, log-odds and units; of several targets, a row for each quantity."""
    kinds, before = [target_maps(result, of) for of in NAMES], [clean_of(result, of) for of in NAMES]
    units, sums = unit_maps(result), list(result.unoccluded_responses.values())
    cells = f"Each cell is a position of the {shape(result)}: {where(result)}."
    cells += f" In the probability (figure 7 d {PAPER}) black is 0."
    odds = "Score and log-odds still tell places apart where the probability is near 0 or 1."
    unit = "What falls of a unit is the sum over its map (figure 7 b)." if units else ""
    strongest = [one.title for address, one in zip(result.responses, units, strict=True) if address == result.strongest]
    unit += f" The strongest of its layer on this image is {strongest[0]}." if strongest else ""
    if len(kinds[0]) == 1:
        words = f"{cells} Of the others it is drawn how far they fall. {ORANGE.format('them')} {odds} {unit}"
        maps, values = [*(kind[0] for kind in kinds), *units], [*(each[0] for each in before), *sums]
        return (map_row(result, f"{drawn_names(result)[0]}: the maps", words, maps, values),)
    falls, titles = ORANGE.format("it"), ("Probability", "Fall of the score", "Fall of the log-odds", "Fall of units")
    captions = f"{cells} One scale for all.", f"{falls} One scale for all.", f"{falls} One scale for all. {odds}"
    rows = zip(titles, (*captions, f"{falls} {unit}"), (*kinds, units), (*before, sums), strict=True)
    return tuple(map_row(result, *row) for row in rows if row[2])


def map_row(result: OcclusionMap, title: str, words: str, maps: Sequence[HeatMap], before: Sequence[float]) -> HeatMaps:
    """Maps as one panel; its caption ends with what there is without the window."""
    clean = ", ".join(f"{one.title} = {digits(value)}" for one, value in zip(maps, before, strict=True))
    caption = f"{words.strip()} Without the {shape(result)}: {clean}.{missing(result)}"
    one = maps[0]
    look = one.values, caption, one.name, one.unit, one.signed, one.limits
    return HeatMaps(title, *look, head=one.title, beside=tuple(maps[1:]), unoccluded=tuple(before))


def target_maps(result: OcclusionMap, of: Quantity) -> list[HeatMap]:
    """A quantity's map for each target: the probability itself, of the others how far they fall."""
    names, (maps, limits), unit = drawn_names(result), falls_of(result, of), "logit" if of == "score" else "nats"
    titles = names if len(names) > 1 else [NAMES[of]]
    draw = partial(HeatMap, caption="", name="fall", unit=unit, signed=True, limits=limits)
    if of == "probability":
        maps = result.probability.double().reshape(-1, *result.label.shape)[:DRAWN].numpy()
        draw = partial(HeatMap, caption="", name="probability", limits=pixels.colour_limits(maps, False))
    return [draw(title, values) for title, values in zip(titles, maps, strict=True)]


def unit_maps(result: OcclusionMap) -> list[HeatMap]:
    """How far the sum over the map of each followed unit falls."""
    found = []
    for address, response in result.responses.items():
        (layer, unit), clean = address.rsplit(":", 1), result.unoccluded_responses[address]
        values = (clean - response.double()).numpy()
        found.append(HeatMap(f"unit {unit} of {layer}", values, "", "fall", signed=True, limits=reach(values, [clean])))
    return found


def class_tiles(result: OcclusionMap) -> ClassTiles:
    """All cells in the hues of their classes, then each class alone, the one of the whole image first."""
    label, clean = result.label.numpy(), result.unoccluded_label
    count = Counter(label[label >= 0].tolist())
    order = sorted(count, key=lambda one: (one != clean, -count[one], one))
    groups = [({one: hue}, result.names[one]) for one, hue in zip(order, HUES, strict=False)]
    if rest := order[DRAWN:]:
        groups.append((dict.fromkeys(rest, OTHERS), f"{len(rest)} other class" + "es" * (len(rest) > 1)))
    words = [f"{name}: {sum(count[one] for one in hues):,}" for hues, name in groups]
    tiles = [Tile(painted(result, hues), footer=footer) for (hues, _), footer in zip(groups, words, strict=True)]
    every = f"It is the same at all {result.done:,} positions"
    if len(groups) > 1:
        tiles.insert(0, Tile(painted(result, dict(ChainMap(*(hues for hues, _ in groups)))), footer="all classes"))
        every = f"First all classes together, then each alone with its number of positions, {result.done:,} in all"
    caption = (
        f"What the network says as the {shape(result)} hides each place (figure 7 e {PAPER}); without it "
        f"{result.names[clean]}, {digits(result.unoccluded_label_probability)}. {every}.{missing(result)}"
    )
    title, empty = "The most probable class", "no position was computed"
    return ClassTiles(title, rows_of(tiles, CLASSES), caption, CLASS, empty=empty, label=label, names=result.names)


def painted(result: OcclusionMap, hues: dict[int, tuple[int, int, int]]) -> Pixels:
    """The image in grey, and on it the cells of some classes in their hues; cells that were not computed hatched."""
    image, label = pixels.resize_tile(seen(result), round(2 * CLASS)), result.label.numpy()
    grey = np.asarray(Image.fromarray(image).convert("L"))[..., None].repeat(3, axis=2) * 0.7 + 72
    factor, box, places = max(image.shape) / max(result.pixels.shape[1:]), heat_box(result), []
    for axis in (0, 1):
        first, last, count = box[axis], box[axis + 2], label.shape[axis]
        cell = np.floor(((np.arange(image.shape[axis]) + 0.5) / factor - first) / (last - first) * count).astype(int)
        places.append(np.where((cell >= 0) & (cell < count), cell + 1, 0))
    drawn = np.pad(label, ((1, 0), (1, 0)), constant_values=-2)[np.ix_(*places)]  # −2 where there is no cell
    for one, hue in hues.items():
        grey[drawn == one] += OPACITY * (np.array(hue) - grey[drawn == one])
    lines = pixels.hatch(image.shape[0], image.shape[1], 2.0)
    grey[drawn == -1] += OPACITY * (lines[drawn == -1] - grey[drawn == -1])
    return pixels.to_bytes(grey / 255)


def fall_tiles(result: OcclusionMap) -> Tiles:
    """The inputs at which the (first) target is least probable, exactly as the net saw them."""
    name, clean = drawn_names(result)[0], clean_of(result, "probability")[0]
    probability = result.probability.reshape(-1, *result.label.shape)[0]
    tiles = []
    for row, column in result.falls():
        said, sure = int(result.label[row, column]), float(result.label_probability[row, column])
        hidden = pixels.to_bytes(result.occluded(row, column).numpy().transpose(1, 2, 0))
        footer = f"{result.names[said]} {digits(sure, 2)}"
        tiles.append(Tile(hidden, float(probability[row, column]), result.box(row, column), footer))
    caption = (
        f"The positions at which {name} is least probable, the lowest first ({len(tiles)} of {result.done:,}), each as "
        f"the network saw it (figure 7 a {PAPER}); without the {shape(result)} its probability is {digits(clean)}. "
        f"Below each: the class that is most probable then, and its probability.{missing(result)}"
    )
    title, empty = f"{name}: where it falls most", "no position was computed"
    return Tiles(title, rows_of(tiles, FALLEN), caption, FALL, f"probability of {name}", empty=empty)


def rows_of(tiles: Sequence[Tile], across: int) -> tuple[TileRow, ...]:
    """Tiles in rows, one of them empty if there is no tile."""
    starts = range(0, max(len(tiles), 1), across)
    return tuple(TileRow("", "", tuple(tiles[start : start + across])) for start in starts)


def clean_of(result: OcclusionMap, of: Quantity) -> list[float]:
    """What a quantity of each drawn target is without the window."""
    found = result.unoccluded if of == "probability" else getattr(result, f"unoccluded_{of}")
    return [float(one) for one in found.reshape(-1)[:DRAWN]]


def falls_of(result: OcclusionMap, of: Quantity) -> tuple[Values, Limits]:
    """How far hiding lowers a quantity of each drawn target, targets × rows × columns; and one scale for all."""
    maps, clean = getattr(result, of).double().reshape(-1, *result.label.shape)[:DRAWN], clean_of(result, of)
    falls = np.asarray((maps.new_tensor(clean)[:, None, None] - maps).numpy())
    return falls, reach(falls, clean)


def reach(values: Values, clean: Sequence[float]) -> Limits:
    """A scale about 0 that holds all values; the rounding of a map that does not change stays mid-grey."""
    greatest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    end = max(greatest, *(LEAST * abs(one) for one in clean if np.isfinite(one)), 0.0) or 1.0
    return -end, end


def drawn_names(result: OcclusionMap) -> list[str]:
    """The classes whose maps are drawn."""
    return [result.names[target] for target in result.targets[:DRAWN]]


def heat_box(result: OcclusionMap) -> Box:
    """Where the cells lie: half a stride about the middles of the positions; of a single one, the window itself."""
    ends = []
    for starts, side, step in zip((result.tops, result.lefts), result.window, result.stride, strict=True):
        half = step / 2 if len(starts) > 1 else side / 2
        ends.append((float(starts[0]) + side / 2 - half, float(starts[-1]) + side / 2 + half))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def seen(result: OcclusionMap) -> Pixels:
    """The image as the net saw it."""
    return pixels.to_bytes(result.pixels.numpy().transpose(1, 2, 0))


def digits(value: float, count: int = 3) -> str:
    """So many digits, with a true minus."""
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.{count}g}".rstrip(".")).replace("-", "−")


def shape(result: OcclusionMap) -> str:
    """What hides, in a word."""
    return "square" if result.window[0] == result.window[1] else "rectangle"


def where(result: OcclusionMap) -> str:
    """How many positions, how far apart, and what happens at the border."""
    count, step = result.label.numel(), "×".join(dict.fromkeys(map(str, result.stride)))
    border = "wholly inside the image" if result.border == "inside" else "the last ones cut off at the image's edge"
    return f"{count:,} positions, {step} px apart, {border}" if count > 1 else f"1 position, {border}"


def missing(result: OcclusionMap) -> str:
    """How much a stopped run left out."""
    total = result.label.numel()
    return f" Hatched, not computed: {total - result.done:,} of {total:,} positions." if result.done < total else ""
