"""The nearest rows of a table of vectors: every distance is computed, by products of matrices."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from convscope.watch import SILENT, Watch

BLOCK = 512  # queries at once
MORE = 16  # candidates more than wanted: products in single precision may swap what is nearly equally far


class Nearest:
    """Rows (N, D) among which the nearest ones can be asked for. Distances are Euclidean."""

    def __init__(self, points: NDArray[Any]) -> None:
        self.points = np.ascontiguousarray(points, np.float32)
        self.middle = self.points.mean(0, dtype=np.float64).astype(np.float32)  # about it products lose least

    def search(self, queries: NDArray[Any], k: int) -> tuple[Int[np.ndarray, "M k"], Float[np.ndarray, "M k"]]:
        """The k nearest rows of each query (M, D), the nearest first, equally near ones by their number.

        Where more than a few are equally near, which of them are given is left to the search.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        k = min(k, len(self.points))
        found = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float64)
        for start in range(0, len(queries), BLOCK):
            block = queries[start : start + BLOCK]
            nearness = self._halves - torch.from_numpy(block - self.middle) @ self._centred.T
            rows = nearness.topk(min(k + MORE, len(self.points)), dim=1, largest=False).indices.numpy()
            pairs = zip(block, rows, strict=True)
            away = np.stack([np.square(self.points[near].astype(np.float64) - one).sum(1) for one, near in pairs])
            order = np.lexsort((rows, away), axis=-1)[:, :k]
            found[0][start : start + BLOCK] = np.take_along_axis(rows, order, 1)
            found[1][start : start + BLOCK] = np.sqrt(np.take_along_axis(away, order, 1))
        return found

    def others(self, rows: NDArray[np.int64], k: int) -> tuple[Int[np.ndarray, "M k"], Float[np.ndarray, "M k"]]:
        """The k nearest other rows of each of these rows, as `search` gives them."""
        found, away = self.search(self.points[rows], k + 1)
        own = found == rows[:, None]
        own[~own.any(1), -1] = True  # its equals took its place
        shape = (len(rows), found.shape[1] - 1)
        return found[~own].reshape(shape), away[~own].reshape(shape)

    def among_themselves(
        self, k: int, watch: Watch = SILENT
    ) -> tuple[Int[np.ndarray, "N k"], Float[np.ndarray, "N k"]]:
        """The k nearest other rows of each row, the nearest first; distances are of single precision."""
        count = len(self.points)
        k = min(k, count - 1)
        near, away = np.empty((count, k), np.int64), np.empty((count, k), np.float64)
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            squares = self._halves - self._centred[start:stop] @ self._centred.T
            squares += self._halves[start:stop, None]
            squares[torch.arange(stop - start), torch.arange(start, stop)] = torch.inf
            values, rows = squares.topk(k, dim=1, largest=False)
            near[start:stop], away[start:stop] = rows.numpy(), values.clamp_min(0).mul(2).sqrt().numpy()
            watch.progress(stop, count, "images looked around")
        return near, away

    @cached_property
    def _centred(self) -> Tensor:
        return torch.from_numpy(self.points - self.middle)

    @cached_property
    def _halves(self) -> Tensor:
        """Half the squared norms of the centred rows."""
        return torch.from_numpy(np.einsum("nd,nd->n", self._centred, self._centred, dtype=np.float64) / 2).float()
