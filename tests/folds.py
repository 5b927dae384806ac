"""A fold fed with maps and scores that are known, as a build would feed it."""

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from convscope.passes.classes import Classes
from convscope.passes.codes import Codes
from convscope.passes.directions import Directions
from convscope.passes.fold import Batch, Fold, Followed, State, peaks
from convscope.passes.middle import Middle
from convscope.passes.places import Places
from convscope.passes.predictions import Predictions
from convscope.passes.strongest import Strongest
from convscope.passes.vitals import Vitals

LAYERS = (Followed("map", 3, (2, 3), "map"), Followed("scores", 5, None, "scores", rectified=False))


def exact(fold: Directions) -> Directions:
    """With vectors of eighths, so that sums are exact and no grouping of the images changes their last bit."""
    fold.vectors = {name: np.round(vectors * 8) / 8 for name, vectors in fold.vectors.items()}
    return fold


FOLDS: list[Fold] = [
    Strongest(LAYERS, k=4),
    exact(Directions(LAYERS, k=4, count=2)),
    Middle(LAYERS, sample=7),
    Vitals(LAYERS),
    Places(LAYERS, sample=7),
    Classes(LAYERS),
    Codes({"map": 3, "scores": 5}),
    Predictions(5),
]
EXACT = {"strongest", "directions", "middle", "codes", "predictions"}  # the others add floats


def learnt(
    fold: Fold, rows: list[int], contents: list[int], maps: np.ndarray, scores: np.ndarray, so_far: State | None = None
) -> State:
    """The state after one batch; so_far: of shards before, which it may begin with."""
    outputs = {"map": torch.from_numpy(maps), "scores": torch.from_numpy(scores)}
    batch = Batch(
        np.array(rows, np.int64), np.array(contents, np.uint64), np.array([row % 6 - 1 for row in rows], np.int64),
        np.array([row * 5 % 14 for row in rows], np.int64), torch.zeros(len(rows), 3, 1, 1),
        {name: peaks(output) for name, output in outputs.items()}, scores.astype(np.float64),
    )  # fmt: skip
    state = fold.none() if so_far is None else fold.begin(so_far)
    for name in fold.layers:
        fold.see(state, batch, name, outputs[name])
    fold.add(state, batch)
    return state


def same(fold: Fold, one: State, other: State) -> bool:
    """Bit for bit, sums of floats to 1e-6 of float32 (1e-12 before they are rounded)."""
    if one.keys() != other.keys():
        return False
    if fold.name in EXACT:
        return all(np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f") for name in one)
    return all(np.allclose(one[name], other[name], rtol=1e-6, atol=1e-6, equal_nan=True) for name in one)


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Maps and scores of some images with many ties and some repeated contents (equal contents, equal values)."""
    count = draw(st.integers(1, 14))
    contents = [draw(st.integers(1, 8)) for _ in range(count)]
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    maps = random.integers(0, 3, (9, 3, 2, 3)).astype(np.float32)
    scores = random.integers(-2, 3, (9, 5)).astype(np.float32)
    return maps[contents], scores[contents], contents


def state_of(fold: Fold, rows: list[int], data: tuple[Any, ...], so_far: State | None = None) -> State:
    """The state after some of the images."""
    maps, scores, contents = data
    return learnt(fold, rows, [contents[row] for row in rows], maps[rows], scores[rows], so_far)
