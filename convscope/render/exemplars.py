"""Strongest patches as tiles: a unit's own, its middle, and the random directions that are their control."""

from collections.abc import Sequence

from convscope.render.panels import Tile, TileRow, Tiles
from convscope.studies.exemplars import Exemplars, Patch


def exemplar_tiles(units: Sequence[Exemplars]) -> Tiles:
    """One row of patches per unit, all of one layer (Girshick et al. 2014, figure 4)."""
    first = units[0]
    rows = tuple(unit_row(unit) for unit in units)
    return Tiles(f"{first.layer}, {first.net}", rows, strongest_words(units), value_name=first.quantity)


def unit_tiles(unit: Exemplars) -> Tiles:
    """One unit whole: its strongest patches, the middle of its distribution, and random directions of its layer."""
    rows = [unit_row(unit)]
    caption = strongest_words([unit])
    if unit.middle:
        rows.append(TileRow("its middle", f"of {unit.middle_sample:,} images", tiles_of(unit.middle)))
        caption += (
            f" Its middle: the images around the median of those that excite it, in a sample of {unit.middle_sample:,}."
        )
    rows += [
        TileRow("random direction", f"number {one.number}", tiles_of(one.patches), control=True)
        for one in unit.directions
    ]
    if unit.directions:
        caption += (
            " The control (Szegedy et al. 2014): the strongest patches of random directions in the space of all units "
            "of the layer, found and cut in the same way; where the patches of the unit look no more alike, they "
            "are no evidence that the meaning is in the single unit."
        )
    if unit.classes:
        best = ", ".join(f"{one.name} {one.mean:.3g} ({one.images:,})" for one in unit.classes[:3])
        caption += f" What excites it: the mean of its maxima over the images of a predicted class: {best}."
    return Tiles(f"{unit.address}, {unit.net}", tuple(rows), caption, value_name=unit.quantity)


def unit_row(unit: Exemplars) -> TileRow:
    """The strongest patches of a unit."""
    top = f"max {unit[0].value:.3g}" if len(unit) else ""
    return TileRow(unit.unit_name or f"unit {unit.unit}", top, tiles_of(unit.patches))


def tiles_of(patches: Sequence[Patch]) -> tuple[Tile, ...]:
    """Patches as they are cut from their images."""
    tiles = []
    for patch in patches:
        pixels, box = patch.cut()
        tiles.append(Tile(pixels, patch.value, box, patch.label))
    return tuple(tiles)


def strongest_words(units: Sequence[Exemplars]) -> str:
    """What a row of strongest patches is."""
    first = units[0]
    most = max(map(len, units))
    which = "each unit" if len(units) > 1 else "it"
    return (
        f"The {most} images of {first.images:,} that excite {which} most, strongest first, one place an image. The "
        "white box is all that the unit can see there (its receptive field, on the original image); the number is its "
        f"{first.quantity}; the word below is the image's label."
    )
