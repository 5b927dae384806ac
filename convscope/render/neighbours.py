"""Neighbours of an image as tiles: by code, and by pixels as the control."""

import numpy as np
from numpy.typing import NDArray

from convscope.render.panels import Tile, TileRow, Tiles
from convscope.studies.neighbours import Neighbours


def neighbour_tiles(found: Neighbours) -> Tiles:
    """The image, the nearest by code, the nearest by pixels."""
    own = Tile(found.store.pixels(found.image), footer=found.labels[found.image] or "")
    rows = (
        TileRow("the image", f"number {found.image}", (own,)),
        TileRow("by code", found.layer, tiles(found, found.rows, found.distances)),
        TileRow("by pixels", "", tiles(found, found.pixel_rows, found.pixel_distances), control=True),
    )
    caption = (
        f"The {len(found.rows)} of {found.images:,} images whose codes ({found.net}, {found.layer}) are nearest, "
        "and those whose small pictures are, the nearest first. The number is the Euclidean distance of the codes; of "
        "pixels the root mean square difference, 0 to 1. Below each its label."
    )
    return Tiles(f"{found.address}, {found.net}", rows, caption, value_name="distance")


def tiles(found: Neighbours, rows: NDArray[np.int64], away: NDArray[np.float64]) -> tuple[Tile, ...]:
    """Images with their distance and label."""
    return tuple(
        Tile(found.store.pixels(row), value, footer=found.labels[row] or "")
        for row, value in zip(rows.tolist(), away.tolist(), strict=True)
    )
