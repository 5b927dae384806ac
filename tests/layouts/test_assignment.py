"""Points onto cells: a permutation, within 2 % of the optimum, never worse than greedy, and any shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_digits

from convscope.layouts import assignment
from convscope.layouts.assignment import assign, centres, costs, fill, mean_cost, scaled, snap, split
from convscope.watch import Watch


def clustered(count: int, seed: int = 0) -> NDArray[np.float64]:
    """A cloud of clusters of unequal sizes, as t-SNE gives."""
    generator = np.random.default_rng(seed)
    middles = generator.normal(size=(12, 2)) * 10
    return np.asarray(middles[generator.integers(0, 12, count) ** 2 % 12] + generator.normal(size=(count, 2)))


def optimum(points: NDArray[np.float64], rows: int, columns: int) -> float:
    matrix = costs(scaled(points), centres(rows, columns))
    return float(matrix[linear_sum_assignment(matrix)].mean())


@given(count=st.integers(1, 60), aspect=st.floats(0.2, 5), seed=st.integers(0, 1000))
@settings(max_examples=40)
def test_every_point_has_a_cell_of_its_own(count: int, aspect: float, seed: int) -> None:
    columns = max(1, min(count, round((count * aspect) ** 0.5)))
    rows = -(-count // columns)
    for way in (assign, fill):
        cells = way(np.random.default_rng(seed).normal(size=(count, 2)), rows, columns)
        assert len({(row, column) for row, column in cells.tolist()}) == count
        assert (cells >= 0).all()
        assert (cells < (rows, columns)).all()


def test_few_points_are_assigned_as_well_as_can_be() -> None:
    points = clustered(300)
    assert mean_cost(points, assign(points, 18, 17), 18, 17) == pytest.approx(optimum(points, 18, 17), rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_many_points_come_within_two_per_cent_of_the_optimum(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "EXACT", 10)
    points = clustered(700, seed)
    best = optimum(points, 27, 26)
    found = mean_cost(points, assign(points, 27, 26), 27, 26)
    assert best <= found + 1e-12
    assert found < 1.02 * best
    halves = split(scaled(points), 27, 26)
    plain = np.empty((700, 2), np.int64)
    plain[halves[halves >= 0]] = np.stack(np.divmod(np.flatnonzero(halves >= 0), 26), 1)
    assert mean_cost(points, plain, 27, 26) > 1.1 * best  # what plain splitting is worth


def test_never_worse_than_greedy() -> None:
    for seed in range(4):
        points = clustered(1200, seed)
        assert mean_cost(points, assign(points, 35, 35), 35, 35) < mean_cost(points, fill(points, 35, 35), 35, 35)


def test_greedy_is_karpathys() -> None:
    """Cells in reading order, each takes the nearest unused point: written out."""
    points = clustered(50)
    cells, left = fill(points, 8, 7), list(range(50))
    for number, middle in enumerate(centres(8, 7)[:50]):
        away = [float(np.square(scaled(points)[point] - middle).sum()) for point in left]
        chosen = left.pop(int(np.argmin(away)))
        assert tuple(cells[chosen]) == divmod(number, 7)


def test_exact_positions_keep_the_first_of_each_cell() -> None:
    points = np.array([[0.0, 0.0], [0.01, 0.01], [1.0, 1.0], [0.5, 1.0]])
    assert snap(points, 4, 4).tolist() == [[0, 0], [-1, -1], [3, 3], [2, 3]]


@pytest.mark.parametrize("points", [np.zeros((7, 2)), np.zeros((1, 2)), np.array([[0.0, 1.0], [0.0, 2.0]])])
def test_points_that_do_not_differ(points: NDArray[np.float64]) -> None:
    cells = assign(points, len(points), 1)
    assert sorted(cells[:, 0].tolist()) == list(range(len(points)))


def test_it_tells_how_far_it_is_and_can_be_stopped() -> None:
    seen: list[tuple[int, int]] = []

    class Stopping(Watch):
        def progress(self, done: int, total: int, unit: str) -> None:
            seen.append((done, total))

        def stopped(self) -> bool:
            return len(seen) == 2

    cells = assign(clustered(1500), 39, 39, Stopping())
    assert seen == [(1, 16), (2, 16)]
    assert len({tuple(cell) for cell in cells.tolist()}) == 1500  # what is done is a whole grid all the same


@pytest.mark.heavy
def test_the_map_of_digits_comes_within_two_per_cent() -> None:
    from convscope.layouts.tsne import embed

    positions = embed(load_digits().data.astype(np.float32)).positions.astype(np.float64)
    assert mean_cost(positions, assign(positions, 43, 42), 43, 42) < 1.02 * optimum(positions, 43, 42)
