"""Vectors onto a grid so that near cells hold near vectors: linear assignment sorting, without a map.

Barthel et al. 2023, Improved Evaluation and Generation of Grid Layouts Using Distance Preservation Quality and Linear
Assignment Sorting (LAS): the grid is smoothed, and all vectors are assigned to the smoothed cells that they are nearest
to, over and over with a smaller radius.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from convscope.layouts.assignment import cheapest
from convscope.watch import SILENT, Watch

FACTOR = 0.9  # of the radius from one step to the next
LARGEST = 2_500  # cells: each step assigns all vectors at once


def sort(
    points: Float[np.ndarray, "N D"], rows: int, columns: int, seed: int = 0, watch: Watch = SILENT
) -> Int[np.ndarray, "N 2"]:
    """The cell (row, column) of each vector. Cells beyond the vectors stay empty, and are filled by none.

    Needs rows · columns ≥ N.
    """
    count, cells = len(points), rows * columns
    table = points.astype(np.float64)
    place = np.random.default_rng(seed).permutation(cells)[:count]  # the cell of each vector
    radii = list(shrinking(max(rows, columns) / 2 - 1))
    for done, radius in enumerate(radii):
        smooth = smoothed(table, place, rows, columns, radius)
        products = table @ smooth.T
        costs = np.square(table).sum(1)[:, None] + np.square(smooth).sum(1) - 2 * products
        place = cheapest(costs)[1]
        watch.progress(done + 1, len(radii), "steps of sorting")
        if watch.stopped():
            break
    return np.stack(np.divmod(place, columns), 1)


def shrinking(radius: float) -> list[float]:
    """The radii, from large to small, and 1 once more, which small grids need (the paper stops below 1)."""
    found = []
    while radius >= 1:
        found.append(radius)
        radius *= FACTOR
    return [*found, 1.0]


def smoothed(
    table: NDArray[np.float64], place: NDArray[np.int64], rows: int, columns: int, radius: float
) -> Float[np.ndarray, "cells D"]:
    """Each cell's mean over a square around it, mirrored at the edges; empty cells do not count."""
    from scipy.ndimage import uniform_filter1d

    sums, weights = np.zeros((rows * columns, table.shape[1])), np.zeros((rows * columns, 1))
    sums[place], weights[place] = table, 1
    both = np.concatenate([sums, weights], 1).reshape(rows, columns, table.shape[1] + 1)
    for axis, side in enumerate((rows, columns)):
        width = min(side - 1, 2 * round(radius) + 1)
        if width > 1:
            both = uniform_filter1d(both, width, axis=axis, mode="reflect")
    means = both[..., :-1] / np.maximum(both[..., -1:], 1e-12)
    return np.asarray(means.reshape(rows * columns, -1))
