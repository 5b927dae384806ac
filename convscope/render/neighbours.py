"""Neighbours of an image as tiles: by code, and by pixels as the control."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convscope.render.panels import Tile, TileRow, Tiles
from convscope.store.opened import AtlasStore
from convscope.studies.neighbours import Neighbours

Found = tuple[NDArray[np.int64], NDArray[np.float64]]  # rows of images and their distances, the nearest first


def neighbour_tiles(found: Neighbours) -> Tiles:
    """The image, the nearest by code, the nearest by pixels."""
    own = Tile(found.store.pixels(found.image), footer=found.labels[found.image] or "")
    head = TileRow("the image", f"number {found.image}", (own,))
    by_code, by_pixels = (found.rows, found.distances), (found.pixel_rows, found.pixel_distances)
    title, whose = f"{found.address}, {found.net}", f"{found.net}, {found.layer}"
    return beside_control(title, head, found.store, found.labels, whose, by_code, by_pixels)


def beside_control(
    title: str,
    head: TileRow,
    store: AtlasStore,
    labels: Sequence[str | None],
    whose: str,
    by_code: Found,
    by_pixels: Found,
) -> Tiles:
    """The nearest by code below an image, and below them the nearest by pixels; whose: of whose codes."""

    def tiles(found: Found) -> tuple[Tile, ...]:
        pairs = zip(found[0].tolist(), found[1].tolist(), strict=True)
        return tuple(Tile(store.pixels(row), away, footer=labels[row] or "") for row, away in pairs)

    rows = (head, TileRow("by code", "", tiles(by_code)), TileRow("by pixels", "", tiles(by_pixels), control=True))
    caption = (
        f"The {len(by_code[0])} of {len(labels):,} images whose codes ({whose}) are nearest, and those whose small "
        "pictures are, the nearest first. The number is the Euclidean distance of the codes; of pixels the root mean "
        "square difference, 0 to 1. Below each its label."
    )
    return Tiles(title, rows, caption, value_name="distance")
