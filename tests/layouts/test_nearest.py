"""Nearest rows against plain distances, ties, duplicates, and the index of many."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from convscope.layouts.nearest import Nearest


@given(count=st.integers(1, 40), size=st.integers(1, 8), k=st.integers(1, 50), seed=st.integers(0, 1000))
@settings(max_examples=60)
def test_they_are_those_of_all_distances(count: int, size: int, k: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.integers(-3, 4, (count, size)).astype(np.float32)  # whole numbers: many are equally far
    queries = generator.integers(-3, 4, (3, size)).astype(np.float32)
    rows, away = Nearest(points).search(queries, k)
    distances = cdist(queries, points)
    expected = np.lexsort((np.broadcast_to(np.arange(count), distances.shape), distances), axis=-1)[:, :k]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(away, np.take_along_axis(distances, expected, 1))


def test_among_themselves_leaves_out_each_one_itself() -> None:
    points = np.random.default_rng(0).normal(size=(1300, 24)).astype(np.float32)
    points[7] = points[1200]
    rows, away = Nearest(points).among_themselves(12)
    distances = cdist(points, points)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_allclose(away, np.sort(distances, 1)[:, :12], atol=2e-3)
    assert (rows != np.arange(1300)[:, None]).all()
    assert (rows[7, 0], rows[1200, 0]) == (1200, 7)
    found = np.take_along_axis(distances, rows, 1)
    np.testing.assert_allclose(found, np.sort(distances, 1)[:, :12], rtol=1e-4, atol=1e-4)


def test_far_from_the_origin_they_are_the_same() -> None:
    points = np.random.default_rng(1).normal(size=(400, 16)).astype(np.float32)
    moved = points + np.float32(1000)
    rows, away = Nearest(moved).among_themselves(5)
    distances = cdist(moved, moved)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_allclose(away, np.sort(distances, 1)[:, :5], rtol=1e-3)
    assert rows.shape == (400, 5)
