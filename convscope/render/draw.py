"""draw(result) → panels: one case for every kind of result."""

from collections.abc import Sequence
from functools import singledispatch

from convscope.errors import BadOption
from convscope.render.figure import Panel, compose, page
from convscope.render.filters import filter_panels
from convscope.render.panels import Tile, TileRow, Tiles
from convscope.studies.exemplars import Exemplars
from convscope.techniques.filters import Filters


@singledispatch
def draw(result: object) -> tuple[Panel, ...]:
    """The panels of a result: tiles, image, heat map, curve, table or scatter; BadOption for what is no result."""
    raise BadOption(f"a {type(result).__name__} cannot be drawn", "draw what a technique or study gave")


@draw.register
def draw_exemplars(result: Exemplars) -> tuple[Panel, ...]:
    """The R-CNN picture of one unit (Girshick et al. 2014, figure 4)."""
    return (exemplar_tiles([result]),)


@draw.register
def draw_filters(result: Filters) -> tuple[Panel, ...]:
    """The filters, slices of some, and their roughness beside its controls (CS231n: Conv/FC filters)."""
    return filter_panels(result)


def exemplar_tiles(units: Sequence[Exemplars]) -> Tiles:
    """One row of patches per unit, all of one layer."""
    first = units[0]
    rows = []
    for unit in units:
        tiles = []
        for patch in unit:
            pixels, box = patch.cut()
            tiles.append(Tile(pixels, patch.value, box, patch.label))
        top = f"max {unit[0].value:.3g}" if len(unit) else ""
        rows.append(TileRow(unit.unit_name or f"unit {unit.unit}", top, tuple(tiles)))
    caption = (
        f"The {max(map(len, units))} images of {first.images:,} that excite each unit most, strongest first, one place "
        "an image. The white box is all that the unit can see there (its receptive field, on the original image); "
        f"the number is its {first.quantity}; the word below is the image's label."
    )
    return Tiles(f"{first.layer}, {first.net}", tuple(rows), caption, value_name=first.quantity)


def draw_picture(result: object) -> bytes:
    """A result as one PNG."""
    return compose(draw(result), "")


def draw_page(result: object) -> str:
    """A result as one HTML page that opens without a server."""
    return page(draw(result), getattr(result, "address", type(result).__name__))
