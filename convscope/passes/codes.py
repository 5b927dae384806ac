"""CNN codes: the vector before the classifier, and of any other layer the mean over its places.

Karpathy's t-SNE of CNN codes uses AlexNet's 4096 numbers after the last ReLU; so are ours: what enters the classifier.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from convscope.passes.fold import Batch, Fold, State, by_rows

LARGEST = 65504.0  # of float16


class Codes(Fold):
    """Per image the values of some layers, maps as their mean over places, as float16."""

    name = "codes"
    by_image = True

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = sizes  # layer → units
        self.layers = tuple(sizes)

    def describe(self) -> dict[str, Any]:
        """The layers, the first of them the one before the classifier."""
        return {"layers": list(self.layers)}

    def none(self) -> State:
        """No image yet."""
        empty = {name_of(self.layers, name): np.zeros((0, size), np.float16) for name, size in self.sizes.items()}
        return {"rows": np.zeros(0, np.int64), **empty}

    def see(self, state: State, batch: Batch, layer: str, output: Tensor) -> None:  # noqa: ARG002
        """Takes a layer's values, maps as their mean over places."""
        values = output.float().mean((2, 3)) if output.ndim == 4 else output.float()
        batch.kept[self.name, layer] = values.clamp(-LARGEST, LARGEST).cpu().numpy().astype(np.float16)

    def add(self, state: State, batch: Batch) -> None:
        """A row per image."""
        codes = {name_of(self.layers, layer): batch.kept[self.name, layer] for layer in self.layers}
        state.update(by_rows(state, {"rows": batch.rows, **codes}))

    def merge(self, one: State, other: State) -> State:
        """Both, in the order of the images."""
        return by_rows(one, other)

    def finish(self, state: State) -> State:
        """As it is: an array (N, D) a layer, named by its number among the layers."""
        return state


def name_of(layers: Sequence[str], layer: str) -> str:
    """The name of a layer's array: its number, since names of layers are no names of files."""
    return str(list(layers).index(layer))
