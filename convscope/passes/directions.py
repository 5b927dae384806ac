"""Szegedy's control: random directions in the space of a layer's units, treated just as units are.

Szegedy et al. 2014, Intriguing properties of neural networks, section 3 (arXiv:1312.6199): if the patches of random
directions look as coherent as those of units, then it is the space that holds the meaning, not the single unit.
"""

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.passes.fold import Batch, Followed, State, peaks
from convscope.passes.strongest import Strongest

DIRECTIONS = 16  # a layer


class Directions(Strongest):
    """The strongest images of random directions: of v·a at each place, where a are the activations of all units.

    The directions are drawn from a normal distribution and have length 1; a layer's depend on the seed and its name.
    """

    name = "directions"
    of_drives = False

    def __init__(self, layers: tuple[Followed, ...], k: int = 9, count: int = DIRECTIONS, seed: int = 0) -> None:
        super().__init__(tuple(replace(layer, units=count, ceiling=np.inf) for layer in layers), k)
        self.count, self.seed = count, seed
        self.vectors = {layer.name: random_directions(layer.name, layer.units, count, seed) for layer in layers}

    def describe(self) -> dict[str, Any]:
        """How many directions a layer, and the seed."""
        return {"k": self.k, "count": self.count, "seed": self.seed}

    def see(self, state: State, batch: Batch, layer: str, output: Tensor) -> None:
        """Notes the images that may be among the best of a direction."""
        vectors = torch.from_numpy(self.vectors[layer]).to(output.device, output.dtype)
        if output.ndim == 2:
            along = output @ vectors.T
            return self.note(state, batch, layer, peaks(along), along)
        count, _, height, width = output.shape
        places = output.permute(0, 2, 3, 1).flatten(0, 2)  # the layout of channels_last: no copy
        along = (places @ vectors.T).view(count, height, width, len(vectors)).permute(0, 3, 1, 2)
        return self.note(state, batch, layer, peaks(along), along)

    def finish(self, state: State) -> State:
        """values, rows and places as of units; vectors (directions, all units) in the order of the layers."""
        found = super().finish(state)
        found.pop("drives")
        empty = np.zeros((self.count, 0), np.float32)
        return {**found, "vectors": np.concatenate([empty, *self.vectors.values()], axis=1)}


def random_directions(layer: str, units: int, count: int, seed: int) -> NDArray[np.float32]:
    """(count, units) vectors of length 1 in seeded random directions."""
    random = np.random.default_rng([seed, zlib.crc32(layer.encode())])
    found = random.standard_normal((count, units))
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (found / np.maximum(lengths, 1e-30)).astype(np.float32)
    return unit
