"""ONE forward of a batch, from which every fold learns while the layers stream by."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.models.net import Net
from convscope.models.stream import Stream
from convscope.passes.fold import Batch, Fold, Followed, State, peaks


class NotFiniteError(Exception):
    """The net gives NaN or infinite scores for some images, by their rows: they are to be left out."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        super().__init__(f"scores of rows {rows.tolist()}")
        self.rows = rows


class Learner:
    """A net and the folds that learn from it."""

    def __init__(self, net: Net, folds: Sequence[Fold], layers: Sequence[Followed]) -> None:
        self.net = net
        self.folds = tuple(folds)
        self.output = net.output_layer.name
        self.driven: dict[str, list[Followed]] = {}
        for layer in layers:
            self.driven.setdefault(layer.drive, []).append(layer)

    @cached_property
    def stream(self) -> Stream:
        """The net, prepared to show what the folds read."""
        seen = [name for fold in self.folds if not fold.of_drives for name in fold.layers]
        return Stream(self.net, [*self.driven, *seen, self.output])

    def none(self) -> dict[str, State]:
        """The states before any image."""
        return {fold.name: fold.none() for fold in self.folds}

    def begin(self, so_far: Mapping[str, State]) -> dict[str, State]:
        """The states before any image of a shard; so_far: those after the shards before, as far as they are known."""
        return {fold.name: fold.begin(so_far[fold.name]) if fold.name in so_far else fold.none() for fold in self.folds}

    def learn(self, states: Mapping[str, State], batch: Batch) -> None:
        """Changes the states by a batch; NotFiniteError, and the states are spoilt, where the net gives NaN."""

        def show(name: str, output: Tensor) -> None:
            for layer in self.driven.get(name, ()):
                values = peaks(output)
                batch.peaks[layer.name] = values if layer.drive == layer.name else np.maximum(values, 0)
                for fold in self.folds:
                    if fold.of_drives and layer.name in fold.layers:
                        fold.see(states[fold.name], batch, layer.name, output)
            for fold in self.folds:
                if not fold.of_drives and name in fold.layers:
                    fold.see(states[fold.name], batch, name, output)
            if name == self.output:
                batch.scores = output.to("cpu", torch.float64, copy=True).numpy()  # the output may be overwritten

        self.stream.run(batch.pixels, show)
        finite = np.isfinite(batch.scores).all(axis=1)
        if not finite.all():
            raise NotFiniteError(batch.rows[~finite])
        for fold in self.folds:
            fold.add(states[fold.name], batch)
