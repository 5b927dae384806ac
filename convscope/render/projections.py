"""Projections as panels: Zeiler & Fergus' figure 2, patches beside what is sent back from them."""

import numpy as np

from convscope.render import pixels
from convscope.render.figure import Panel, Tile, TileRow
from convscope.render.gradient import about_grey, touched
from convscope.render.methods import NAMES, PAPERS
from convscope.render.panels import Tiles
from convscope.render.pixels import Pixels
from convscope.studies.exemplars import Patch
from convscope.studies.projections import Projections

SIDE, MOSAIC = 104.0, 190.0  # CSS px: a patch of a single unit; the patches of one of many units
ACROSS = 4  # mosaics in a row
CELL, GAP = 128, 4  # px of a patch in a mosaic, and between two


def projection_tiles(result: Projections) -> tuple[Panel, ...]:
    """Of one unit a row of patches and a row of projections; of several a mosaic of each beside the other."""
    return (one_unit(result) if len(result.units) == 1 else page_of_units(result),)


def one_unit(result: Projections) -> Tiles:
    """The patches, strongest first, and below each its projection."""
    found = result.rows[0]
    patches = tuple(Tile(seen(one.patch), one.value, footer=one.patch.label) for one in found)
    signals = tuple(Tile(about_grey(one.signal)) for one in found)
    if not found:
        caption = f"{result.net}'s {result.address} is silent: none of {result.images:,} images excites it."
        return Tiles(f"{result.address}, {NAMES[result.method]}", (), caption, SIDE, result.quantity)
    unit = result.unit_names[0] or f"unit {result.units[0]}"
    rows = (TileRow(unit, "strongest patches", patches), TileRow(NAMES[result.method], "", signals))
    caption = (
        f"{count_words(result)} {result.net}'s {result.address}, strongest first, each cut to all that the unit sees "
        f"there (on the original image); the number is its {result.quantity}. Below each what is sent "
        f"back from it {way(result)}: mid-grey is 0, each with a scale of its own."
    )
    return Tiles(f"{result.address}, {NAMES[result.method]}", rows, caption, SIDE, result.quantity)


def page_of_units(result: Projections) -> Tiles:
    """Two units in a row, of each the projections and the patches they are of."""
    tiles = list[Tile]()
    for number, unit in enumerate(result.units):
        name, found = result.unit_names[number] or f"unit {unit}", result.rows[number]
        value = f"{name}: {found[0].value:.3g}" if found else f"{name}: silent"
        tiles.append(Tile(mosaic([about_grey(one.signal) for one in found]), footer=value))
        tiles.append(Tile(mosaic([seen(one.patch) for one in found]), footer="its patches" if found else ""))
    rows = [TileRow("", "", tuple(tiles[at : at + ACROSS])) for at in range(0, len(tiles), ACROSS)]
    caption = (
        f"{len(result.units)} units of {result.net}'s {result.layer}, of each the patches that excite it most among "
        f"{result.images:,} images (right), cut to all that the unit sees. Left, in the same order row by "
        f"row, what is sent back from it {way(result)}: mid-grey is 0, each with a scale of its own. Below: the unit "
        f"and its greatest {result.quantity}."
    )
    return Tiles(f"{result.layer}, {NAMES[result.method]}", tuple(rows), caption, MOSAIC, "")


def way(result: Projections) -> str:
    """By which method, and what a deconvnet begins with."""
    name, what = NAMES[result.method], "1" if result.of_classes else "the activation"
    begun = f", beginning with {what}" if result.method == "deconvnet" else ""
    return f"by {name}{begun} ({PAPERS[name]})"


def count_words(result: Projections) -> str:
    """How many patches of how many images."""
    most = max(map(len, result.rows), default=0)
    return f"The {most} of {result.images:,} images that excite most"


def seen(patch: Patch) -> Pixels:
    """What a patch's unit sees, without surroundings, from the original where it is at hand."""
    picture, box = patch.cut()
    return touched(picture, box)


def mosaic(pictures: list[Pixels]) -> Pixels:
    """Pictures as a square, three by three of nine, white between them."""
    side = max(1, int(np.ceil(np.sqrt(max(len(pictures), 1)))))
    whole = np.full((side * (CELL + GAP) - GAP,) * 2 + (3,), 255, np.uint8)
    for number, one in enumerate(pictures):
        row, column = divmod(number, side)
        small = pixels.resize_tile(one, CELL)
        top = row * (CELL + GAP) + (CELL - small.shape[0]) // 2
        left = column * (CELL + GAP) + (CELL - small.shape[1]) // 2
        whole[top : top + small.shape[0], left : left + small.shape[1]] = small
    return whole
