"""Pictures made of thousands of pictures: grids, seams between cells, and images where they lie on a map."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from convscope.render.pixels import Pixels, Values, colour, resize_tile
from convscope.store.opened import AtlasStore
from convscope.store.thumbnails import SIDE, Thumbnails, small
from convscope.studies.grid import Grid
from convscope.studies.mapping import Map

PAPER = 255  # of empty cells
SEAM = 0.12  # width of a seam, of a cell
LEAST, COVER = 20, 0.3  # px of an image on a map at least; share of the map that all images would cover


def cells_picture(store: AtlasStore, owners: NDArray[np.int64], cell: int) -> Pixels:
    """The images of a part of a grid (rows, columns; -1 for an empty cell), the longer side of each `cell` px."""
    rows, columns = owners.shape
    taken = owners >= 0
    pictures = images(store, owners[taken], cell)
    height, width = pictures.shape[1:3]
    whole = np.full((rows, columns, height, width, 3), PAPER, np.uint8)
    whole[taken] = pictures
    return whole.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)


def images(store: AtlasStore, rows: NDArray[np.int64], side: int) -> NDArray[np.uint8]:
    """(N, height, width, 3): images of the atlas, their longer side of `side` px."""
    thumbnails = Thumbnails(store)
    if side <= SIDE:
        source = thumbnails.at_least(side)
        if max(source.shape[1:3]) == side or not len(rows):
            return np.asarray(source[rows])
        size = sized(source.shape[1:3], side)
        return np.stack([small(one, size) for one in source[rows]])
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda row: resize_tile(store.pixels(int(row)), side), rows.tolist()))
    return np.stack(found) if found else np.zeros((0, side, side, 3), np.uint8)


def sized(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width with that longer side."""
    factor = side / max(shape)
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def grid_picture(grid: Grid, size: int) -> Pixels:
    """The whole grid, about `size` px on its longer side."""
    return cells_picture(grid.store, grid.owners(), max(1, size // max(grid.rows, grid.columns)))


def seams_picture(grid: Grid, size: int) -> tuple[Pixels, Values]:
    """The grid with its borders coloured by how far the codes on both sides are; and these distances."""
    picture = grid_picture(grid, size).copy()
    right, below = grid.seams()
    height, width = picture.shape[0] // grid.rows, picture.shape[1] // grid.columns
    away = np.concatenate([right[np.isfinite(right)], below[np.isfinite(below)]])
    ends = (0.0, float(away.max()) if away.size else 1.0)
    half = max(1, round(min(height, width) * SEAM / 2))
    for values, axis in ((right, 1), (below, 0)):
        hues = colour(np.nan_to_num(values), False, ends)
        for row, column in np.argwhere(np.isfinite(values)):
            top, left = row * height, column * width
            if axis:
                picture[top : top + height, left + width - half : left + width + half] = hues[row, column]
            else:
                picture[top + height - half : top + height + half, left : left + width] = hues[row, column]
    return picture, away


def map_picture(found: Map, size: int) -> tuple[Pixels, int]:
    """Images where they lie on the map, `size` px wide, none upon another: first come first served; and how many."""
    count = len(found.positions)
    side = int(np.clip(size * np.sqrt(COVER / max(count, 1)), LEAST, size / 8))
    height, width = sized(found.store.pixels(0).shape, side)
    down, across = max(1, size // height), max(1, size // width)
    low, high = found.positions.min(0), found.positions.max(0)
    x, y = ((found.positions - low) / np.maximum(high - low, 1e-9)).T
    row, column = (np.minimum((axis * slots).astype(int), slots - 1) for axis, slots in ((1 - y, down), (x, across)))
    _, first = np.unique(row * across + column, return_index=True)
    owners = np.full((down, across), -1)
    owners[row[first], column[first]] = first
    return cells_picture(found.store, owners, side), len(first)
