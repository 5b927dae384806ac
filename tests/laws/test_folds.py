"""What every fold promises: any grouping and order of the batches gives the same, bit for bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.passes.fold import Batch, Fold, State
from convscope.passes.predictions import Predictions
from convscope.passes.strongest import Strongest


def batch_of(rows: list[int], contents: list[int], maps: np.ndarray, scores: np.ndarray) -> Batch:
    return Batch(
        np.array(rows, np.int64), np.array(contents, np.uint64), np.array([row % 6 - 1 for row in rows], np.int64),
        {"map": torch.from_numpy(maps), "scores": torch.from_numpy(scores)},
    )  # fmt: skip


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f") for name in one
    )


FOLDS: list[Fold] = [Strongest({"map": 3, "scores": 5}, k=4), Predictions("scores", 5)]


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Maps and scores of some images with many ties and some repeated contents (equal contents, equal values)."""
    count = draw(st.integers(1, 14))
    contents = [draw(st.integers(1, 8)) for _ in range(count)]
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    maps = random.integers(0, 3, (9, 3, 2, 3)).astype(np.float32)
    scores = random.integers(-2, 3, (9, 5)).astype(np.float32)
    return maps[contents], scores[contents], contents


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: fold.name)
@settings(max_examples=60, deadline=None)
@given(data=images(), seed=st.integers(0, 1000))
def test_any_grouping_and_order_gives_the_same(fold: Fold, data: tuple, seed: int) -> None:
    maps, scores, contents = data
    random = np.random.default_rng(seed)

    def state_of(rows: list[int]) -> State:
        return fold.add(fold.none(), batch_of(rows, [contents[r] for r in rows], maps[rows], scores[rows]))

    rows = list(range(len(contents)))
    whole = fold.finish(state_of(rows))
    cuts = sorted(random.integers(0, len(rows) + 1, 3).tolist())
    parts = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    parts = [part for part in parts if part]
    states = [state_of(part) for part in parts]
    random.shuffle(states)
    merged = fold.none()
    for state in states:
        merged = fold.merge(merged, state)
    assert same(fold.finish(merged), whole)
    right = fold.none()
    for state in reversed(states):
        right = fold.merge(state, right)
    assert same(fold.finish(right), whole)
    stepwise = fold.none()
    for part in parts:
        stepwise = fold.add(stepwise, batch_of(part, [contents[r] for r in part], maps[part], scores[part]))
    assert same(fold.finish(stepwise), whole)
