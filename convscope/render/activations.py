"""The maps of a layer as panels: what the net saw, and beside it every map as one tile; a vector as its units."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convscope.render.figure import Panel, Tile, TileRow
from convscope.render.fonts import format_row
from convscope.render.panels import Column, HeatMap, Overlay, Scale, Table, Tiles
from convscope.render.pixels import Limits, Pixels, Values, colour, colour_limits, resize_tile, to_bytes
from convscope.techniques.activations import Activations

DRAWN = 256  # maps at most
# up to so many maps: how many in a row, and their side (CSS px)
GRIDS = ((4, 4, 176.0), (32, 8, 88.0), (64, 8, 64.0), (112, 12, 57.0), (DRAWN, 16, 42.0))
LISTED = 12  # units of a vector in its table
ACROSS = (10, 16, 20, 25, 32, 40, 50, 64, 100, 128, 200, 256)  # cells in a row of a vector
INPUT = 224.0  # CSS px: the input is there to be recognised, the maps to be read
INK = 118  # grey of the lines on a silent map: seen, but not looked at first


class Colours(NamedTuple):
    """How the values of a layer become colours."""

    signed: bool  # about mid-grey
    limits: Limits  # of the shared scale
    beyond: float  # share of what is drawn that lies beyond it


def activation_panels(result: Activations) -> tuple[Panel, ...]:
    """The input, then all maps; of a vector its units as cells, and the strongest in a table."""
    if result.maps.shape[1:] == (1, 1):
        return (input_picture(result), unit_cells(result), strongest_units(result))
    return (input_picture(result), map_tiles(result))


def input_picture(result: Activations) -> Overlay:
    """The image as the net saw it; on it what the layer's strongest place sees."""
    height, width = result.pixels.shape[1:]
    boxes: tuple[tuple[tuple[float, float, float, float], str], ...] = ()
    box = result.strongest_box
    sees = "nothing of the image" if box is None or not box.height else "the white box"
    if box is not None and box.height >= height and box.width >= width:
        sees = "the whole image"
    elif sees == "the white box" and box is not None:
        boxes = (((box.top, box.left, box.bottom, box.right), ""),)
    caption = f"{result.image} as {result.net} sees it, {height}×{width} px. {peak_words(result, sees)}".strip()
    pixels = to_bytes(result.pixels.numpy().transpose(1, 2, 0))
    return Overlay("Input", pixels, caption, boxes=boxes, side=INPUT)


def peak_words(result: Activations, sees: str) -> str:
    """Where the layer is most active, and what that place sees."""
    if result.strongest is None or not isinstance(result.strongest.unit, int):
        return f"No {result.quantity} of {result.layer} is above 0."
    place = result.strongest.place
    where = f" at row {place.row}, column {place.column}" if place is not None else ""
    value = result.unit_max[result.strongest.unit]
    equal = int((result.maps == value).sum())
    first = f", the first of {equal:,} places with that value" if equal > 1 else ""
    return (
        f"The greatest {result.quantity} of {result.layer} is {value:.3g}, of unit {result.name(result.strongest.unit)}"
        f"{where}{first}; it sees {sees}."
    )


def map_tiles(result: Activations) -> Tiles:
    """Every map as one tile with its unit's number; lines through those that are 0 everywhere."""
    units = result.shown[:DRAWN]
    maps = result.maps[list(units)].numpy()
    colours = colours_of(maps, result.boost)
    across, side = next((across, side) for most, across, side in GRIDS if len(units) <= most)
    maxima = result.unit_max[list(units)].tolist()
    words = format_row(maxima)
    tiles = []
    for unit, values, word, maximum in zip(units, maps, words, maxima, strict=True):
        limits = colours.limits if result.scale == "shared" else own_limits(values, colours.signed, result.boost)
        pixels = colour(values, colours.signed, limits)
        if max(pixels.shape[:2]) > 4 * side:  # what no screen shows is not kept
            pixels = resize_tile(pixels, round(4 * side))
        if not values.any():
            pixels = crossed(int(4 * side), colours.signed, bool(result.dead[unit]))
        shared = result.scale == "shared"
        footer = str(unit) if shared else f"{unit}: {word}"
        tiles.append(Tile(pixels, maximum, footer=footer, values=values if shared and values.any() else None))
    rows = tuple(TileRow("", "", tuple(tiles[start : start + across])) for start in range(0, len(tiles), across))
    return Tiles(
        f"{result.layer}, {result.net}",
        rows,
        map_caption(result, len(units), colours),
        side,
        result.quantity,
        smooth=max(maps.shape[1:]) > side / 2,
        written=False,
        scale=Scale(colours.limits, colours.signed, maps) if result.scale == "shared" else None,
    )


def map_caption(result: Activations, count: int, colours: Colours) -> str:
    """How many maps of what, the scale, what a place sees, sparsity, silent and dead units."""
    rows, columns = result.maps.shape[1:]
    return " ".join(
        (
            f"{sample_words(result, count)}, {rows}×{columns} places each.",
            scale_words(result, colours),
            field_words(result),
            sparsity_words(result),
            silence_words(result),
        )
    ).strip()


def sample_words(result: Activations, count: int) -> str:
    """How many units of how many, in which order."""
    total, asked = len(result.maps), len(result.shown)
    strength = result.order == "strength"
    sorting = "the most active first" if strength else "by number" if asked == total else "in the order given"
    if count < asked:
        part = f"The {count:,} most active of {asked:,} maps" if strength else f"The first {count:,} of {asked:,} maps"
    elif asked < total:
        part = f"{asked:,} of {total:,} maps"
    else:
        part = f"All {total:,} maps"
    return f"{part} of {result.layer} ({result.kind}) for {result.image}, {sorting}"


def scale_words(result: Activations, colours: Colours) -> str:
    """What the colours mean."""
    zero = "Mid-grey is 0, orange positive, blue negative" if colours.signed else "Black is 0"
    boost = f" divided by {result.boost:g} (the boost)" if result.boost > 1 else ""
    if result.scale == "map":
        end = "largest value" if colours.signed else "maximum"
        return f"{zero}; each map has its own scale, up to its {end}{boost}; below it are unit and maximum."
    end = f"one scale for all maps, up to the largest value{boost}" if boost else "one scale for all maps"
    beyond = f", beyond which {colours.beyond:.1%} of the values lie" if colours.beyond else ""
    return f"{zero}; {end}{beyond}; below each map is its unit."


def field_words(result: Activations) -> str:
    """What one place sees."""
    field = result.receptive
    if field.size is None:
        return "Each place sees the whole image."
    height, width = result.pixels.shape[1:]
    step = f" every {field.stride[0]:g} px" if field.stride else ""
    more = ", more than the image" if field.size[0] >= 2 * height and field.size[1] >= 2 * width else ""
    return f"A place sees {field.size[0]}×{field.size[1]} px{step}{more}."


def sparsity_words(result: Activations) -> str:
    """The layer's share of zeros and its Hoyer sparsity; numbers that are none."""
    words = f"{result.zeros:.1%} of the values are exactly 0" if result.zeros else "No value is exactly 0"
    if math.isfinite(result.hoyer):
        words += f"; Hoyer sparsity {result.hoyer:.2f} (0 all alike, 1 a single one)"
    if result.not_finite:
        words += f". {result.not_finite:,} values are not finite: infinite ones lie beyond the scale, NaN is light grey"
    return words + "."


def silence_words(result: Activations) -> str:
    """How many units are silent on this image, and how many are dead on all images of the atlas."""
    silent, total = int(result.silent.sum()), len(result.maps)
    lined = int((result.fraction_zero == 1).sum()) if result.maps.shape[1:] != (1, 1) else 0
    drawn = " (a line through the map)" if lined else ""
    if 0 < lined < silent:
        drawn = f" ({lined:,} of them 0 everywhere: a line through the map)"
    if result.resting:
        words = f"{silent:,} of {total:,} units {are(silent)} silent on this image{drawn}."
        parts = [words if silent else "No unit is silent on this image."]
    else:
        parts = [f"{silent:,} of {total:,} units {are(silent)} nowhere above 0{drawn}."] if silent else []
    if result.dead_images:
        dead, bound = int(result.dead.sum()), min(3 / result.dead_images, 1.0)
        awake = int((result.dead & ~result.silent).sum())
        parts.append(
            f"{dead:,} never rose above 0 on the {result.dead_images:,} images of the atlas (crossed): such a unit "
            f"fires on fewer than {bound:.2g} of such images (3/N, 95 % confidence)."
            if dead
            else f"No unit is dead on all of the {result.dead_images:,} images of the atlas."
        )
        if awake:
            parts.append(f"{awake:,} of these {'fires' if awake == 1 else 'fire'} here all the same.")
    return " ".join(parts)


def are(count: int) -> str:
    """The verb for so many."""
    return "is" if count == 1 else "are"


def colours_of(values: Values, boost: float) -> Colours:
    """Signed where anything is below 0; the scale ends at the greatest finite size divided by the boost."""
    finite = values[np.isfinite(values)]
    signed = bool((finite < 0).any())
    limits = own_limits(values, signed, boost)
    return Colours(signed, limits, float((np.abs(finite) > limits[1] * (1 + 1e-6)).mean()) if finite.size else 0.0)


def own_limits(values: Values, signed: bool, boost: float) -> Limits:
    """The scale of one map, or of all: its ends divided by the boost."""
    low, high = colour_limits(values, signed)
    return low / boost, high / boost


def crossed(side: int, signed: bool, dead: bool) -> Pixels:
    """A map without any activation: a hairline from corner to corner, two where the unit is known to be dead."""
    pixels = np.full((side, side, 3), 128 if signed else 0, np.uint8)
    rows, columns = np.indices((side, side))
    thick = side / 90
    lines = np.abs(rows + columns - side + 1) < thick
    if dead:
        lines |= np.abs(rows - columns) < thick
    pixels[lines] = INK + (64 if signed else 0)
    return pixels


def unit_cells(result: Activations) -> HeatMap:
    """A vector folded into rows: one cell a unit, in reading order."""
    values = result.maps[list(result.shown), 0, 0].numpy()
    colours = colours_of(values, result.boost)
    across = across_of(len(values))
    cells: NDArray[np.float64] = np.full(math.ceil(len(values) / across) * across, np.nan)
    cells[: len(values)] = values
    order = "the most active first" if result.order == "strength" else "by number"
    spare = "; hatched cells at the end are none" if len(cells) > len(values) else ""
    sample = f"All {len(values):,}" if len(values) == len(result.maps) else f"{len(values):,} of {len(result.maps):,}"
    zero = "mid-grey is 0, orange positive, blue negative" if colours.signed else "black is 0"
    caption = " ".join(
        (
            f"{sample} units of {result.layer} ({result.kind}) for {result.image}, {order}, {across} in a row"
            f"{spare}; {zero}.",
            field_words(result),
            sparsity_words(result),
            silence_words(result),
        )
    )
    return HeatMap(
        f"{result.layer}, {result.net}",
        cells.reshape(-1, across),
        caption,
        result.quantity,
        signed=colours.signed,
        limits=colours.limits,
    )


def strongest_units(result: Activations) -> Table:
    """The units of a vector with the greatest values."""
    maxima = result.unit_max.nan_to_num(nan=-math.inf)
    order = sorted(result.shown, key=lambda unit: -float(maxima[unit]))[:LISTED]
    columns = [Column("unit", align="right"), Column(result.quantity)] + [Column("class")] * bool(result.names)
    rows = tuple(
        (str(unit), float(result.unit_max[unit]), *((result.names[unit],) if result.names else ())) for unit in order
    )
    caption = f"The {len(rows)} units with the greatest {result.quantity} for {result.image}, of {len(result.maps):,}."
    return Table(f"{result.layer}, strongest units", tuple(columns), rows, caption)


def across_of(count: int) -> int:
    """How many cells stand in a row: a round number, the picture about twice as wide as tall and best without rest."""
    ideal = math.sqrt(2 * count)
    whole = [size for size in ACROSS if count % size == 0 and ideal / 1.6 <= size <= ideal * 1.6]
    if whole:
        return min(whole, key=lambda size: abs(size - ideal))
    return min(count, next((size for size in ACROSS if size >= ideal), ACROSS[-1]))
