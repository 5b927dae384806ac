"""The nearest rows of a table of vectors: exactly, and beyond a size by an index of a library."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from convscope.watch import SILENT, Watch

EXACT = 100_000  # rows up to which every distance is computed
BLOCK = 512  # queries at once
MORE = 16  # candidates more than wanted: products in single precision may swap what is nearly equally far
LISTS, PROBES = 4.0, 32  # of the index: lists a square root of rows, and how many are looked through


class Nearest:
    """Rows (N, D) among which the nearest ones can be asked for. Distances are Euclidean."""

    def __init__(self, points: NDArray[Any], exact: bool | None = None) -> None:
        self.points = np.ascontiguousarray(points, np.float32)
        self.exact = len(points) <= EXACT if exact is None else exact

    def search(self, queries: NDArray[Any], k: int) -> tuple[Int[np.ndarray, "M k"], Float[np.ndarray, "M k"]]:
        """The k nearest rows of each query (M, D), the nearest first, equally near ones by their number.

        Where more than a few are equally near, which of them are given is left to the search.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        k = min(k, len(self.points))
        found = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float64)
        for start in range(0, len(queries), BLOCK):
            block = queries[start : start + BLOCK]
            rows = self._candidates(block, min(k + MORE, len(self.points)))
            pairs = zip(block, rows, strict=True)
            away = np.stack([np.square(self.points[near].astype(np.float64) - one).sum(1) for one, near in pairs])
            order = np.lexsort((rows, away), axis=-1)[:, :k]
            found[0][start : start + BLOCK] = np.take_along_axis(rows, order, 1)
            found[1][start : start + BLOCK] = np.sqrt(np.take_along_axis(away, order, 1))
        return found

    def among_themselves(
        self, k: int, watch: Watch = SILENT
    ) -> tuple[Int[np.ndarray, "N k"], Float[np.ndarray, "N k"]]:
        """The k nearest other rows of each row, the nearest first; distances are of single precision."""
        count = len(self.points)
        k = min(k, count - 1)
        near, away = np.empty((count, k), np.int64), np.empty((count, k), np.float64)
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            if self.exact:
                squares = self._halves - torch.from_numpy(self._centred[start:stop]) @ self._centred_transposed
                squares += self._halves[start:stop, None]
                squares[torch.arange(stop - start), torch.arange(start, stop)] = torch.inf
                values, rows = squares.topk(k, dim=1, largest=False)
                near[start:stop], away[start:stop] = rows.numpy(), values.clamp_min(0).mul(2).sqrt().numpy()
            else:
                own = np.arange(start, stop)[:, None]
                rows, squared = self._candidates(self.points[start:stop], k + 1, squared=True)
                mine = rows == own
                mine[~mine.any(1), -1] = True
                near[start:stop] = rows[~mine].reshape(-1, k)
                away[start:stop] = np.sqrt(squared[~mine].reshape(-1, k))
            watch.progress(stop, count, "images looked around")
        return near, away

    def _candidates(self, block: NDArray[np.float32], count: int, squared: bool = False) -> Any:
        """Rows that may be the nearest of each query; with `squared` their squared distances too."""
        if self.exact:
            nearness = self._squares - torch.from_numpy(block) @ torch.from_numpy(self.points).T
            return nearness.topk(count, dim=1, largest=False).indices.numpy()
        distances, rows = self._index.search(block, count)
        return (rows, distances) if squared else rows

    @cached_property
    def _squares(self) -> Tensor:
        return torch.from_numpy(np.square(self.points, dtype=np.float64).sum(1) / 2).float()

    @cached_property
    def _centred(self) -> NDArray[np.float32]:
        """About their mean, where products lose least."""
        return np.asarray(self.points - self.points.mean(0, dtype=np.float64).astype(np.float32))

    @cached_property
    def _centred_transposed(self) -> Tensor:
        return torch.from_numpy(self._centred).T

    @cached_property
    def _halves(self) -> Tensor:
        """Half the squared norms of the centred rows."""
        return torch.from_numpy(np.square(self._centred, dtype=np.float64).sum(1) / 2).float()

    @cached_property
    def _index(self) -> Any:
        """Inverted lists of the vectors themselves (Jégou, Douze & Schmid 2011)."""
        import faiss

        lists = int(LISTS * np.sqrt(len(self.points)))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(self.points.shape[1]), self.points.shape[1], lists)
        index.train(self.points)
        index.add(self.points)
        index.nprobe = PROBES
        return index
