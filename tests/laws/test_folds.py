"""What every fold promises: any grouping and order of the batches gives the same."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convscope.passes import histogram
from convscope.passes.fold import Fold
from tests.folds import FOLDS, images, same, state_of


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: fold.name)
@settings(max_examples=40, deadline=None)
@given(data=images(), seed=st.integers(0, 1000))
def test_any_grouping_and_order_gives_the_same(fold: Fold, data: tuple, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = list(range(len(data[2])))
    whole = fold.finish(state_of(fold, rows, data))
    cuts = sorted(random.integers(0, len(rows) + 1, 3).tolist())
    parts = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    states = [state_of(fold, part, data) for part in parts if part]
    random.shuffle(states)
    merged = fold.none()
    for state in states:
        merged = fold.merge(merged, state)
    assert same(fold, fold.finish(merged), whole)
    right = fold.none()
    for state in reversed(states):
        right = fold.merge(state, right)
    assert same(fold, fold.finish(right), whole)
    absorbed = {name: array.copy() for name, array in fold.none().items()}
    for state in states:
        fold.absorb(absorbed, state)
    assert same(fold, fold.finish(absorbed), whole)


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: fold.name)
@settings(max_examples=40, deadline=None)
@given(data=images(), seed=st.integers(0, 1000))
def test_a_shard_that_knows_others_gives_the_same(fold: Fold, data: tuple, seed: int) -> None:
    """Whatever a shard begins with, of shards that it is merged with: nothing, some, or all that came before."""
    random = np.random.default_rng(seed)
    rows = list(range(len(data[2])))
    whole = fold.finish(state_of(fold, rows, data))
    cuts = sorted(random.integers(0, len(rows) + 1, 3).tolist())
    parts = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    known = [fold.none()]
    for part in parts:
        if part:
            begun = known[random.integers(len(known))]
            before = {name: array.copy() for name, array in begun.items()}
            state = state_of(fold, part, data, begun)
            assert same(fold, begun, before)  # it may begin with it, and leaves it as it is
            known.append(fold.merge(known[-1], state))
    assert same(fold, fold.finish(known[-1]), whole)


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: fold.name)
def test_no_image_changes_nothing(fold: Fold) -> None:
    random = np.random.default_rng(0)
    data = random.random((4, 3, 2, 3), np.float32), random.random((4, 5), np.float32), [1, 2, 3, 4]
    state = state_of(fold, [0, 1, 2, 3], data)
    before = {name: array.copy() for name, array in state.items()}
    merged = fold.merge(fold.none(), fold.merge(state, fold.none()))
    assert same(fold, fold.finish(merged), fold.finish(state))
    assert all(np.array_equal(before[name], state[name], equal_nan=True) for name in state), "merging changed a state"


@settings(max_examples=100, deadline=None)
@example([-1e-30, 1e18], 1)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30), st.integers(0, 29))
def test_a_histogram_depends_on_its_values_alone(values: list[float], cut: int) -> None:
    """Its range is the smallest power of two that holds them all, and every value is in the bin of its own."""
    column = np.array(values, np.float32)[:, None]
    counts = np.zeros((1, histogram.BINS), np.int32)
    exponents = np.full(1, histogram.LOWEST, np.int16)
    for part in (column[:cut], column[cut:]):
        if len(part):
            wanted = np.maximum(exponents, histogram.exponents_of(part))
            histogram.widen(counts, exponents, wanted)
            histogram.count(counts, wanted, part)
    edges = histogram.edges(int(exponents[0]))
    assert counts[0].tolist() == np.histogram(column, [*edges[:-1], np.inf])[0].tolist()
    assert (column >= edges[0]).all()
    assert (column < edges[-1]).all()
    if exponents[0] > histogram.LOWEST:
        tight = histogram.edges(int(exponents[0]) - 1)
        assert (column < tight[0]).any() or (column >= tight[-1]).any()
