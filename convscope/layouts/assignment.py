"""Points in the plane onto the cells of a grid, one each, so that the sum of squared distances is small.

The best assignment is known to be exact (Jonker & Volgenant 1987, Computing 38) where there are few points. Beyond
that the cloud is split along its longer side, again and again, down to single cells; then windows of cells that overlap
are assigned anew, each exactly, small windows before large ones.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from convscope.watch import SILENT, Watch

EXACT = 900  # points that are assigned at once
WINDOWS = ((4_000, (8, 16, 24, 24)), (math.inf, (8, 16, 16)))  # up to so many points: cells a side, pass after pass


def assign(
    positions: Float[np.ndarray, "N 2"], rows: int, columns: int, watch: Watch = SILENT
) -> Int[np.ndarray, "N 2"]:
    """The cell (row, column) of each point (row, column); no cell has two.

    The cloud is scaled to the grid, each axis on its own (Karpathy's cnnembed). Some of the cells stay empty where
    there are more of them than points.
    """
    points, cells = scaled(positions), centres(rows, columns)
    if len(points) <= EXACT:
        chosen = cheapest(costs(points, cells))[1]
        return np.stack(np.divmod(chosen, columns), 1)
    owners = split(points, rows, columns)
    sizes = next(sizes for most, sizes in WINDOWS if len(points) <= most)
    passes = [(size, start) for size in sizes for start in starts(size)]
    for done, (size, start) in enumerate(passes):
        for window in windows(rows, columns, size, start):
            improve(owners, points, cells, window)
        watch.progress(done + 1, len(passes), "passes over the grid")
        if watch.stopped():
            break
    found = np.empty((len(points), 2), np.int64)
    taken = np.flatnonzero(owners >= 0)
    found[owners[taken]] = np.stack(np.divmod(taken, columns), 1)
    return found


def fill(positions: Float[np.ndarray, "N 2"], rows: int, columns: int, watch: Watch = SILENT) -> Int[np.ndarray, "N 2"]:
    """Each cell in reading order takes the nearest point that is left (Karpathy's «filled»); the last get the rest."""
    points = scaled(positions)
    left, found = np.arange(len(points)), np.empty((len(points), 2), np.int64)
    for number, middle in enumerate(centres(rows, columns)[: len(points)]):
        nearest = int(np.square(points[left] - middle).sum(1).argmin())
        found[left[nearest]] = divmod(number, columns)
        left = np.delete(left, nearest)
        if number % 256 == 0:
            watch.progress(number, len(points), "cells")
    return found


def snap(
    positions: Float[np.ndarray, "N 2"],
    rows: int,
    columns: int,
    watch: Watch = SILENT,  # noqa: ARG001
) -> Int[np.ndarray, "N 2"]:
    """Each point in the cell where it lies, unless another one is there already: then it has none, -1 (Karpathy's)."""
    cells = np.minimum((scaled(positions) * (rows, columns)).astype(np.int64), (rows - 1, columns - 1))
    _, first = np.unique(cells[:, 0] * columns + cells[:, 1], return_index=True)
    found = np.full(cells.shape, -1)
    found[first] = cells[first]
    return found


def mean_cost(positions: Float[np.ndarray, "N 2"], cells: Int[np.ndarray, "N 2"], rows: int, columns: int) -> float:
    """The mean squared distance of points to the middles of their cells, both in the unit square."""
    placed = cells[:, 0] >= 0
    middles = (cells[placed] + 0.5) / (rows, columns)
    return float(np.square(scaled(positions)[placed] - middles).sum(1).mean())


def scaled(positions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Both axes to [0, 1]; an axis on which all points agree to its middle."""
    points = positions.astype(np.float64)
    low, high = points.min(0), points.max(0)
    return np.where(high > low, (points - low) / np.where(high > low, high - low, 1), 0.5)


def centres(rows: int, columns: int) -> NDArray[np.float64]:
    """The middles of the cells in reading order, in units of the grid's sides."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.stack([(row + 0.5) / rows, (column + 0.5) / columns], 1)


def cheapest(matrix: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows and the columns of the assignment with the least sum (Jonker & Volgenant 1987)."""
    from scipy.optimize import linear_sum_assignment  # a second, which `--help` need not wait for

    row, column = linear_sum_assignment(matrix)
    return row, column


def costs(points: NDArray[np.float64], cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """The squared distance of each point to each cell."""
    return np.asarray(np.square(points[:, None] - cells[None]).sum(-1))


def split(points: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.int64]:
    """The point of each cell, -1 where it is empty: halves of the cells get as many points, those on their side.

    The cells that stay empty are those farthest from the middle of the cloud.
    """
    cells = centres(rows, columns)
    away = np.argsort(-np.square(cells - points.mean(0)).sum(1), kind="stable")
    used = np.ones((rows, columns), bool)
    used.flat[away[: rows * columns - len(points)]] = False
    owners = np.full((rows, columns), -1)
    waiting = [(np.arange(len(points)), 0, rows, 0, columns)]
    while waiting:
        some, top, bottom, left, right = waiting.pop()
        if not len(some):
            continue
        if (bottom - top) * (right - left) == 1:
            owners[top, left] = some[0]
            continue
        tall = (bottom - top) * columns >= (right - left) * rows  # in units of the grid's sides
        if (tall and bottom - top > 1) or right - left == 1:
            middle = (top + bottom) // 2
            parts = (top, middle, left, right), (middle, bottom, left, right)
        else:
            middle = (left + right) // 2
            parts = (top, bottom, left, middle), (top, bottom, middle, right)
        first = parts[0]
        count = int(used[first[0] : first[1], first[2] : first[3]].sum())
        order = some[np.argsort(points[some, 0 if first[3] == right else 1], kind="stable")]
        waiting += [(order[:count], *parts[0]), (order[count:], *parts[1])]
    return owners.ravel()


def starts(size: int) -> Sequence[tuple[int, int]]:
    """How far the windows of four passes are shifted, so that no border stays one."""
    return (0, 0), (size // 2, size // 2), (0, size // 2), (size // 2, 0)


def windows(rows: int, columns: int, size: int, start: tuple[int, int]) -> Iterator[NDArray[np.int64]]:
    """The cells of each window, together all cells of the grid."""
    for top in range(-start[0], rows, size):
        for left in range(-start[1], columns, size):
            down = np.arange(max(top, 0), min(top + size, rows))
            across = np.arange(max(left, 0), min(left + size, columns))
            if len(down) and len(across):
                yield (down[:, None] * columns + across).ravel()


def improve(
    owners: NDArray[np.int64], points: NDArray[np.float64], cells: NDArray[np.float64], window: NDArray[np.int64]
) -> None:
    """Assigns the points that are in a window to its cells anew, as well as can be."""
    inside = owners[window]
    inside = inside[inside >= 0]
    if len(inside) > 1:
        point, cell = cheapest(costs(points[inside], cells[window]))
        owners[window] = -1
        owners[window[cell]] = inside[point]
