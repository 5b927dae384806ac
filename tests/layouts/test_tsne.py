"""t-SNE against the paper's own formulas (van der Maaten & Hinton 2008) and openTSNE's defaults; placing new points."""

import numpy as np
import pytest
from numpy.typing import NDArray
from openTSNE import TSNE
from sklearn.datasets import load_digits

from convscope.layouts import tsne
from convscope.layouts.quality import quality
from convscope.layouts.tsne import embed, place
from convscope.watch import Watch


def digits(count: int) -> NDArray[np.float32]:
    return np.asarray(load_digits().data[:count], np.float32)


def joint(points: NDArray[np.floating], perplexity: float) -> NDArray[np.float64]:
    """The paper's p_ij over the nearest 3 × perplexity points, as Barnes-Hut t-SNE (2014, section 4) restricts them."""
    count = len(points)
    squares = np.square(points[:, None].astype(np.float64) - points[None]).sum(-1)
    np.fill_diagonal(squares, np.inf)
    found = np.zeros((count, count))
    for row, away in enumerate(squares):
        near = np.argsort(away, kind="stable")[: min(count - 1, int(3 * perplexity))]
        low, high = 1e-12, 1e12  # of the precision
        for _ in range(80):
            precision = np.sqrt(low * high)
            share = np.exp(-(away[near] - away[near].min()) * precision)
            share /= share.sum()
            entropy = -(share * np.log2(np.maximum(share, 1e-300))).sum()
            low, high = (precision, high) if 2**entropy > perplexity else (low, precision)
        found[row, near] = share
    return (found + found.T) / (2 * count)


def divergence(weights: NDArray[np.float64], positions: NDArray[np.floating]) -> float:
    return float((weights * np.log(np.maximum(weights, 1e-300) / student(positions))).sum())


def student(positions: NDArray[np.floating]) -> NDArray[np.float64]:
    apart = positions[:, None].astype(np.float64) - positions[None]
    near = 1 / (1 + np.square(apart).sum(-1))
    np.fill_diagonal(near, 0)
    return np.asarray(np.maximum(near / near.sum(), 1e-300))


def gradient(weights: NDArray[np.float64], positions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Equation 5."""
    apart = positions[:, None].astype(np.float64) - positions[None]
    pull = (weights - student(positions)) / (1 + np.square(apart).sum(-1))
    return np.asarray(4 * (pull[..., None] * apart).sum(1))


def test_its_divergence_is_the_papers_and_is_least_where_it_ends() -> None:
    points = digits(50)
    found, weights = embed(points, perplexity=10), joint(points, 10)
    reached = divergence(weights, found.positions)
    assert found.divergence == pytest.approx(reached, rel=0.03)  # the tree is near, not exact
    slope = gradient(weights, found.positions)
    step = np.zeros_like(slope)
    step[7, 1] = 1e-4  # the formula itself is that of the divergence
    ahead, behind = (divergence(weights, found.positions + sign * step) for sign in (1, -1))
    assert slope[7, 1] == pytest.approx((ahead - behind) / 2e-4, rel=1e-3, abs=1e-6)
    random = np.random.default_rng(0)
    start = gradient(weights, found.positions + random.normal(0, 1, slope.shape))
    assert np.abs(slope).max() < 0.02 * np.abs(start).max()
    for _ in range(20):  # whichever way one goes, it is no better
        assert divergence(weights, found.positions + random.normal(0, 0.1, slope.shape)) > reached


def test_it_is_as_good_as_the_librarys_own_defaults() -> None:
    points = digits(500)
    library = TSNE(random_state=0, n_jobs=1).fit(points)
    found, weights = embed(points), joint(points, 30)
    theirs, ours = (divergence(weights, one) for one in (np.asarray(library), found.positions))
    assert ours < 1.02 * theirs
    assert quality(points, found.positions).recall > quality(points, np.asarray(library)).recall - 0.01


class Counting(Watch):
    def __init__(self, most: int) -> None:
        self.seen: list[tuple[int, int]] = []
        self.most = most

    def progress(self, done: int, total: int, unit: str) -> None:
        if "placed" in unit:
            self.seen.append((done, total))

    def stopped(self) -> bool:
        return len(self.seen) > self.most


def test_the_others_are_placed_part_after_part(monkeypatch: pytest.MonkeyPatch) -> None:
    points = digits(300)
    monkeypatch.setattr(tsne, "TOGETHER", 40)
    watch = Counting(99)
    found = embed(points[:200], others=points[200:], watch=watch)
    assert found.complete
    assert watch.seen == [(40, 100), (80, 100), (100, 100)]
    monkeypatch.setattr(tsne, "TOGETHER", 1000)
    together = embed(points[:200], others=points[200:])
    np.testing.assert_allclose(found.positions, together.positions, atol=0.05)
    stopped = embed(points[:200], others=points[200:], watch=Counting(0))
    assert (stopped.complete, len(stopped.positions)) == (True, 300)  # one part: there was nothing left to stop
    monkeypatch.setattr(tsne, "TOGETHER", 40)
    stopped = embed(points[:200], others=points[200:], watch=Counting(1))
    assert (stopped.complete, len(stopped.positions)) == (False, 280)
    np.testing.assert_allclose(
        stopped.positions - stopped.positions[:200].mean(0), (found.positions - found.positions[:200].mean(0))[:280],
        atol=1e-4,
    )  # fmt: skip


def test_few_points_have_others_too() -> None:
    points = digits(9)
    found = embed(points[:3], others=points[3:])
    assert found.positions.shape == (9, 2)
    nearest = np.square(points[3:, None] - points[None, :3]).sum(-1).argmin(1)
    np.testing.assert_array_equal(found.positions[3:], found.positions[nearest])


def test_what_is_on_a_map_is_placed_beside_itself() -> None:
    points = digits(400)
    found = embed(points)
    some = np.arange(0, 400, 7)
    away = np.linalg.norm(place(points, found.positions, points[some]) - found.positions[some], axis=1)
    assert np.median(away) < 0.03 * np.ptp(found.positions)
    assert place(points, found.positions, points[:0]).shape == (0, 2)
