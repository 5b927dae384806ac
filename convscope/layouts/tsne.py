"""t-SNE of vectors (van der Maaten & Hinton 2008), by openTSNE: FIt-SNE (Linderman et al. 2019) and its good defaults.

Neighbours are exact ones, of the vectors as they are. The start are the first two principal components, the learning
rate is N / exaggeration (Belkina et al. 2019), the last exaggeration 4 where there are very many points (Kobak & Berens
2019).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from convscope.layouts.nearest import Nearest
from convscope.watch import SILENT, Watch

EARLY, LATE = 250, 500  # steps with an exaggeration of 12, and steps after them
MANY = 100_000  # points from which on the last exaggeration is 4, which keeps clusters together
NEW = 5  # perplexity by which new points are placed
TOGETHER = 5_000  # new points that are placed at once
TREE = 20_000  # points up to which forces come from the Barnes-Hut tree, which is more exact; beyond that interpolated
EVERY = 25  # steps between two words
LEAST = 5  # points: of fewer there is nothing to optimise

Preview = Callable[[NDArray[np.floating]], None]


@dataclass(frozen=True, eq=False)
class Layout:
    """Points in the plane."""

    positions: Float[np.ndarray, "N 2"]
    divergence: float  # Kullback-Leibler's, at the end; NaN where nothing was optimised
    steps: int  # that were made
    complete: bool  # False: it was stopped


def embed(
    points: Float[np.ndarray, "N D"],
    *,
    perplexity: float = 30.0,
    seed: int = 0,
    start: Float[np.ndarray, "N 2"] | None = None,
    others: Float[np.ndarray, "M D"] | None = None,
    watch: Watch = SILENT,
    preview: Preview | None = None,
) -> Layout:
    """A layout of the points; the same seed gives the same bytes. One that is stopped is as it was then.

    start: positions to begin with, such as those of the same images by another layer. others: points that are placed
    among these when they are laid out; they come last in the result.
    """
    begin = rescaled(principal(points, seed) if start is None else start, seed)
    others = np.empty((0, points.shape[1]), points.dtype) if others is None else others
    if len(points) < LEAST:
        placed = place(points, begin, others)
        return Layout(np.concatenate([begin, placed]).astype(np.float32), math.nan, 0, True)
    from openTSNE import TSNE
    from openTSNE.affinity import PerplexityBasedNN

    watch.say(f"looking for the neighbours of {len(points):,} images")
    near = Neighbours(points, min(len(points) - 1, int(3 * perplexity)), watch)
    affinities = PerplexityBasedNN(
        knn_index=near, perplexity=min(perplexity, (len(points) - 1) / 3), n_jobs=torch.get_num_threads()
    )
    progress = Progress(watch, preview)
    embedding = TSNE(
        n_jobs=torch.get_num_threads(),
        random_state=seed,
        callbacks=progress,
        callbacks_every_iters=EVERY,
        negative_gradient_method="bh" if len(points) <= TREE else "fft",
    ).prepare_initial(affinities=affinities, initialization=begin)
    for steps, exaggeration in ((EARLY, 12), (LATE, 4 if len(points) >= MANY else 1)):
        if not progress.stopped:
            embedding = embedding.optimize(steps, exaggeration=exaggeration, momentum=0.8, inplace=True)
            progress.begun += steps
    divergence = float(embedding.kl_divergence)
    embedding.gradient_descent_params |= {"callbacks": None, "use_callbacks": False}
    later: list[NDArray[np.floating]] = []
    if len(others) and not progress.stopped:
        watch.say(f"placing {len(others):,} more images among them")
    for at in range(0, len(others), TOGETHER):
        progress.stopped |= watch.stopped()
        if progress.stopped:
            break
        later.append(np.asarray(embedding.transform(others[at : at + TOGETHER], perplexity=NEW)))  # it centres too
        watch.progress(min(at + TOGETHER, len(others)), len(others), "more images placed among them")
    found = np.concatenate([np.asarray(embedding), *later])
    return Layout(
        (found - found.mean(0)).astype(np.float32), divergence, progress.last or progress.begun, not progress.stopped
    )


def place(points: NDArray[Any], positions: NDArray[np.floating], new: NDArray[Any]) -> Float[np.ndarray, "M 2"]:
    """Where new points (M, D) come to lie on a layout of others; those stay where they are."""
    from openTSNE.affinity import joint_probabilities_nn
    from openTSNE.tsne import PartialTSNEEmbedding

    if not len(new):
        return np.empty((0, 2), np.float32)
    rows, away = Nearest(points).search(new, 3 * NEW)
    if len(points) < LEAST:
        return np.asarray(positions[rows[:, 0]], np.float32)
    perplexity = min(NEW, (len(points) - 1) / 3)
    threads = torch.get_num_threads()
    weights = joint_probabilities_nn(
        rows, away, [perplexity], symmetrize=False, normalization="point-wise", n_reference_samples=len(points),
        n_jobs=threads,
    )  # fmt: skip
    reference = np.asarray(positions, np.float64).view(Reference)
    partial = PartialTSNEEmbedding(
        np.median(np.asarray(reference)[rows], 1), reference, P=weights, negative_gradient_method="bh"
    )
    found = partial.optimize(
        EARLY, learning_rate=0.1, exaggeration=1.5, momentum=0.8, max_grad_norm=0.25, n_jobs=threads
    )
    return np.asarray(found, np.float32)


class Reference(np.ndarray):
    """Positions that stay where they are, as openTSNE asks for them."""

    interp_coeffs = None
    box_x_lower_bounds = None
    box_y_lower_bounds = None


def principal(points: Float[np.ndarray, "N D"], seed: int) -> Float[np.ndarray, "N 2"]:
    """The first two principal components; 0 where points do not differ."""
    from sklearn.decomposition import PCA

    components = min(2, *points.shape)
    found = np.zeros((len(points), 2))
    if len(points) > 1 and np.ptp(points, 0).any():
        found[:, :components] = PCA(components, random_state=seed).fit_transform(points.astype(np.float32))
    return found


def rescaled(positions: NDArray[np.floating], seed: int) -> Float[np.ndarray, "N 2"]:
    """To the small spread that t-SNE begins with; equal ones are parted a little."""
    spread = float(positions.std(0)[0]) if len(positions) else 0.0
    scaled = (positions - positions.mean(0)) * (1e-4 / spread) if spread > 0 else np.zeros(positions.shape)
    return np.asarray(scaled + np.random.default_rng(seed).normal(0, 1e-6, positions.shape), np.float64)


class Neighbours:
    """Our neighbours as openTSNE asks for them (a KNNIndex of its)."""

    def __init__(self, points: NDArray[Any], k: int, watch: Watch) -> None:
        self.nearest, self.k, self.watch = Nearest(points), k, watch
        self.n_samples = len(points)

    def build(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Of all points."""
        return self.nearest.among_themselves(self.k, self.watch)

    def query(self, new: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Of new points among them."""
        return self.nearest.search(new, k)


class Progress:
    """What openTSNE calls every few steps: tells how far it is, shows it, and says whether to stop."""

    def __init__(self, watch: Watch, preview: Preview | None) -> None:
        self.watch, self.preview = watch, preview
        self.begun, self.last, self.stopped = 0, 0, False

    def __call__(self, step: int, _divergence: float, positions: NDArray[np.floating]) -> bool:
        """True ends the optimisation."""
        if self.preview is not None:
            self.preview(np.asarray(positions))
        self.watch.progress(self.begun + step, EARLY + LATE, "steps of t-SNE")
        if self.watch.stopped():
            self.stopped, self.last = True, self.begun + step
        return self.stopped
