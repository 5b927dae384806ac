"""How true a layout is to the vectors that it shows, and how alike neighbours are.

kNN recall: Lee & Verleysen 2009. Trustworthiness: Venna & Kaski 2001. Distances: Spearman's correlation over pairs, as
Kobak & Berens 2019 (CPD). Purity: the share of the nearest that have the same label, beside its expectation by chance.
DPQ: Barthel et al. 2023, Improved Evaluation and Generation of Grid Layouts (distance preservation quality).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from convscope.layouts.nearest import Nearest

K = 10  # neighbours that are looked at
SAMPLE = 2_000  # points whose neighbours are, at most; a seeded sample
PAIRS = 100_000  # of points whose distances are compared
CELLS = 1_000  # of a grid that DPQ looks around at most
BLOCK = 100  # points whose distances to all are computed at once


@dataclass(frozen=True)
class Quality:
    """Numbers of one layout; NaN where there are too few points."""

    recall: float  # of the K nearest vectors, the share that are among the K nearest in the plane
    trustworthiness: float  # 1 where those near in the plane are near as vectors
    distances: float  # Spearman's correlation of the distances of pairs
    sample: int  # points whose neighbours were looked at


def quality(points: Float[np.ndarray, "N D"], positions: Float[np.ndarray, "N 2"], seed: int = 0) -> Quality:
    """How true positions in the plane are to the points."""
    count = len(points)
    chosen = sample(count, SAMPLE, seed)
    k = min(K, (count - 1) // 2)
    if k < 1:
        return Quality(np.nan, np.nan, np.nan, len(chosen))
    kept, plane = (Nearest(table).others(chosen, k)[0] for table in (points, positions))
    shared = np.mean([len(np.intersect1d(one, other)) / k for one, other in zip(kept, plane, strict=True)])
    ranks = ranks_of(points, chosen, plane)
    penalty = np.maximum(ranks - k, 0).sum()
    trust = 1 - penalty * 2 / (len(chosen) * k * (2 * count - 3 * k - 1))
    return Quality(float(shared), float(trust), distance_correlation(points, positions, seed), len(chosen))


def sample(count: int, most: int, seed: int) -> Int[np.ndarray, " M"]:
    """So many of the numbers below `count`, in order; all where there are no more."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def ranks_of(
    points: NDArray[np.floating], chosen: NDArray[np.int64], others: NDArray[np.int64]
) -> Int[np.ndarray, "M k"]:
    """The place of each of the others among all points by their distance to the chosen one: 1 is the nearest."""
    found = np.empty(others.shape, np.int64)
    table = np.asarray(points - points.mean(0, dtype=np.float64), np.float32)
    squares = np.einsum("nd,nd->n", table, table, dtype=np.float64)
    for start in range(0, len(chosen), BLOCK):
        some = slice(start, start + BLOCK)
        away = squares - 2 * (table[chosen[some]] @ table.T).astype(np.float64)
        away[np.arange(len(away)), chosen[some]] = -np.inf
        for number, near in enumerate(others[some]):
            found[start + number] = [(away[number] < away[number, one]).sum() for one in near]
    return found


def pairs_of(count: int, seed: int) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """All pairs of so many points; of more than PAIRS random ones."""
    if count * (count - 1) // 2 <= PAIRS:
        one, other = np.triu_indices(count, 1)
        return one, other
    one, other = np.random.default_rng(seed).integers(0, count, (2, PAIRS))
    return one[one != other], other[one != other]


def distance_correlation(points: NDArray[np.floating], positions: NDArray[np.floating], seed: int) -> float:
    """Spearman's correlation of the distances of pairs; NaN where all are equal."""
    from scipy.stats import spearmanr

    one, other = pairs_of(len(points), seed)
    lengths = []
    for table in (points, positions):
        parts = [
            np.linalg.norm(table[one[at : at + 5000]].astype(np.float32) - table[other[at : at + 5000]], axis=1)
            for at in range(0, len(one), 5000)
        ]
        lengths.append(np.concatenate(parts))
    if any(np.ptp(some) == 0 for some in lengths):
        return float("nan")
    return float(spearmanr(*lengths).statistic)


def purity(
    points: NDArray[np.floating], labels: Sequence[str | None], k: int = K, seed: int = 0
) -> tuple[float, float, int]:
    """The share of the k nearest that have a point's label, that share by chance, and of how many points.

    Points without a label do not count, neither as points nor as neighbours. NaN where there are too few.
    """
    known = np.array([row for row, label in enumerate(labels) if label is not None], np.int64)
    k = min(k, len(known) - 1)
    if k < 1:
        return float("nan"), float("nan"), 0
    _, kinds, counts = np.unique([str(labels[row]) for row in known], return_inverse=True, return_counts=True)
    chosen = sample(len(known), SAMPLE, seed)
    near = Nearest(points[known]).others(chosen, k)[0]
    alike = float((kinds[near] == kinds[chosen, None]).mean())
    chance = float(((counts[kinds[chosen]] - 1) / (len(known) - 1)).mean())
    return alike, chance, len(chosen)


def dpq(points: Float[np.ndarray, "N D"], cells: Int[np.ndarray, "N 2"], power: float = 16.0, seed: int = 0) -> float:
    """Distance preservation quality of a grid: 1 where each point's neighbours on it are its nearest, 0 by chance.

    Of each point the mean distance to its first n neighbours on the grid is compared with that to its n nearest, for
    every n; the power puts weight on the first ones. Beyond CELLS points a seeded sample is looked around.
    """
    table = np.asarray(points - points.mean(0, dtype=np.float64), np.float32)  # about their mean products lose least
    squares = np.einsum("nd,nd->n", table, table, dtype=np.float64)
    chosen = sample(len(table), CELLS, seed)
    grid_sum, best_sum, mean = np.zeros(len(table) - 1), np.zeros(len(table) - 1), 0.0
    for start in range(0, len(chosen), BLOCK):
        some = chosen[start : start + BLOCK]
        products = (table[some] @ table.T).astype(np.float64)
        for row, apart in zip(some.tolist(), squares[some, None] + squares - 2 * products, strict=True):
            others = np.arange(len(table)) != row
            away = np.sqrt(np.maximum(apart[others], 0))
            steps = np.square(cells[others] - cells[row]).sum(1)
            grid_sum += np.cumsum(away[np.lexsort((away, steps))])
            best_sum += np.cumsum(np.sort(away))
            mean += away.mean()
    first = np.arange(1, len(table))
    mean /= len(chosen)
    if not mean > 1e-6 * float(np.sqrt(squares.max(initial=0.0))) or not mean > 0:
        return float("nan")  # nothing to preserve
    gains = [np.maximum(1 - sums / (first * len(chosen) * mean), 0) for sums in (grid_sum, best_sum)]  # 0 to 1
    reached, best = (float((gain**power).sum() ** (1 / power)) for gain in gains)
    return reached / best if best > 0 else float("nan")
