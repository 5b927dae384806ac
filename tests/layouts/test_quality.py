"""Numbers of layouts against their formulas in plain loops, published anchors, and chance."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness

from convscope.layouts.quality import distance_correlation, dpq, purity, quality
from convscope.layouts.sorting import sort


def cells_of(rows: int, columns: int) -> NDArray[np.int64]:
    return np.stack(np.divmod(np.arange(rows * columns), columns), 1)


def test_trustworthiness_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(150, 6)).astype(np.float32)
    for positions in (points[:, :2], generator.normal(size=(150, 2))):
        found = quality(points, positions.astype(np.float32))
        assert found.trustworthiness == pytest.approx(trustworthiness(points, positions, n_neighbors=10), abs=1e-9)
        assert found.sample == 150


def test_recall_counts_shared_neighbours() -> None:
    points = np.random.default_rng(1).normal(size=(120, 5)).astype(np.float32)
    positions = points[:, :2].copy()
    shared = []
    for row in range(120):
        near = [
            np.argsort(np.linalg.norm(table - table[row], axis=1), kind="stable")[1:11] for table in (points, positions)
        ]
        shared.append(len(set(near[0]) & set(near[1])) / 10)
    assert quality(points, positions).recall == pytest.approx(np.mean(shared))
    assert quality(points[:, :2], positions).recall == 1
    assert quality(points[:, :2], positions).distances == pytest.approx(1)


def test_the_correlation_of_distances_nears_that_of_all_pairs() -> None:
    points = np.random.default_rng(2).normal(size=(200, 5)).astype(np.float32)
    positions = points[:, :2]
    pairs = np.triu_indices(200, 1)
    whole = spearmanr(cdist(points, points)[pairs], cdist(positions, positions)[pairs]).statistic
    assert distance_correlation(points, positions, 0) == pytest.approx(whole, abs=1e-6)
    assert np.isnan(distance_correlation(points, np.zeros((200, 2)), 0))


def test_purity_beside_chance() -> None:
    generator = np.random.default_rng(3)
    labels = [str(value) for value in generator.integers(0, 4, 300)]
    apart = np.array([[100.0 * int(label), 0] for label in labels]) + generator.normal(size=(300, 2))
    alike, chance, count = purity(apart, labels)
    counts = [labels.count(label) for label in labels]
    assert (alike, count) == (1.0, 300)
    assert chance == pytest.approx(np.mean([(one - 1) / 299 for one in counts]))
    mixed, _, _ = purity(generator.normal(size=(300, 2)), labels)
    assert abs(mixed - chance) < 0.05
    with_none = [None if row % 3 else label for row, label in enumerate(labels)]
    assert purity(apart, with_none)[2] == 100
    assert np.isnan(purity(apart, [None] * 300)[0])


def test_dpq_anchors() -> None:
    """A two-axis gradient has 1; 1,024 random colours in no order .039 and .340 (Barthel et al. 2023)."""
    grid = cells_of(20, 20)
    for power in (2, 16):
        assert dpq(grid.astype(float), grid, power) == pytest.approx(1.0)
    colours = np.random.default_rng(3).integers(0, 256, (1024, 3)).astype(float)
    assert dpq(colours, cells_of(32, 32), 2) == pytest.approx(0.039, abs=0.003)
    assert dpq(colours, cells_of(32, 32), 16) == pytest.approx(0.340, abs=0.005)
    assert np.isnan(dpq(np.ones((9, 3)), cells_of(3, 3)))  # nothing to preserve


def test_sorting_reaches_what_is_published() -> None:
    """Linear assignment sorting of 32×32 colours: DPQ16 of .94 and more; every cell has one."""
    colours = np.random.default_rng(3).integers(0, 256, (1024, 3)).astype(float)
    cells = sort(colours, 32, 32)
    assert len({tuple(cell) for cell in cells.tolist()}) == 1024
    assert dpq(colours, cells, 16) > 0.94
    np.testing.assert_array_equal(cells, sort(colours, 32, 32))


def test_sorting_with_empty_cells() -> None:
    points = np.random.default_rng(4).normal(size=(10, 3))
    cells = sort(points, 4, 3)
    assert len({tuple(cell) for cell in cells.tolist()}) == 10
    assert dpq(points, cells) > dpq(points, cells_of(4, 3)[:10])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_points_have_few_numbers(count: int) -> None:
    points = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    found = quality(points, points[:, :2])
    assert (found.recall == 1) if count > 2 else np.isnan(found.recall)
