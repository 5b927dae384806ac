"""A fold: something that is learnt from all images, a batch at a time, in any grouping of the batches.

none() → see(layer of a batch) … add(batch) → merge(other) → finish(). A state is a table of arrays, so that every
fold is stored and sent in the same way. Merging is associative and commutative: top-k and counts come out bit-equal
in any order, sums of floats to 1e-12 (and bit-equal in the order of the images, which a build keeps).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

State = dict[str, NDArray[Any]]
WIDE = 2048  # numbers that a reduction takes side by side


@dataclass(frozen=True)
class Followed:
    """A layer whose units are followed."""

    name: str
    units: int
    places: tuple[int, int] | None  # rows and columns of its maps; None for a vector
    drive: str  # the layer that ranks its units: itself, or what feeds a rectifier with a ceiling
    ceiling: float = np.inf  # of its activation
    rectified: bool = True  # whether its values never fall below 0


class Units:
    """The units of some layers on one long axis, layer after layer."""

    def __init__(self, layers: tuple[Followed, ...]) -> None:
        self.layers = layers
        self.slices: dict[str, slice] = {}
        start = 0
        for layer in layers:
            self.slices[layer.name] = slice(start, start + layer.units)
            start += layer.units
        self.count = start

    def spread(self, numbers: Mapping[str, float]) -> NDArray[np.float32]:
        """A number of each layer → (U,) that of each unit's layer."""
        found = np.zeros(self.count, np.float32)
        for name, part in self.slices.items():
            found[part] = numbers[name]
        return found


@dataclass(eq=False)
class Batch:
    """Some images, while one forward runs and after it."""

    rows: NDArray[np.int64]  # (n,) the images' positions in the listing
    contents: NDArray[np.uint64]  # (n,) equal where the files' bytes are equal
    targets: NDArray[np.int64]  # (n,) the class of the image's label, or -1
    ranks: NDArray[np.int64]  # (n,) places in a seeded random order of all images: a sample is ranks below a number
    pixels: Tensor  # N×3×H×W in [0, 1]
    peaks: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # layer → (n, units) greatest drive
    scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))  # (n, classes)
    kept: dict[tuple[str, str], Any] = field(default_factory=dict)  # (fold, layer) → until `add`, a fold's own

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def distinct(self) -> NDArray[np.intp]:
        """The images whose content no earlier image of the batch has."""
        return np.sort(np.unique(self.contents, return_index=True)[1])


class Fold:
    """The verbs, the layers to see, and what tells one setting from another."""

    name: ClassVar[str]
    layers: tuple[str, ...] = ()  # what `see` is shown: activations, or drives
    of_drives: ClassVar[bool] = False  # whether it sees a rectifier's input where that ranks the units
    by_image: ClassVar[bool] = False  # whether the state has a row per image, and merging puts rows together

    def describe(self) -> dict[str, Any]:
        """Everything that changes the result, as JSON: part of the key of the work."""
        raise NotImplementedError

    def none(self) -> State:
        """The state before any image."""
        raise NotImplementedError

    def begin(self, so_far: State) -> State:  # noqa: ARG002
        """The state before any image of a shard; so_far: of shards that it will be merged with, if that is of use."""
        return self.none()

    def see(self, state: State, batch: Batch, layer: str, output: Tensor) -> None:
        """Changes the state by a layer (N×C×H×W or N×C) of a batch, which is overwritten after the call."""

    def add(self, state: State, batch: Batch) -> None:
        """Changes the state by a batch that has been seen whole: all peaks and the scores are known."""

    def merge(self, one: State, other: State) -> State:
        """The state after the images of both."""
        raise NotImplementedError

    def absorb(self, state: State, other: State) -> None:
        """Changes the state into what merging gives: for folds with a way that copies less."""
        state.update(self.merge(state, other))

    def finish(self, state: State) -> State:
        """The arrays that the atlas keeps, rows still as positions in the listing."""
        raise NotImplementedError


def peaks(output: Tensor) -> NDArray[np.float32]:
    """N×C×H×W or N×C → (N, C) the greatest value of each image's map; NaN counts as -inf."""
    if output.ndim == 4:
        places = output.permute(0, 2, 3, 1).flatten(1, 2)  # N×places×C, the layout of channels_last: no copy
        found = highest(places.numpy()) if is_plain(output) else places.amax(1).float().cpu().numpy()
    else:
        found = output.float().cpu().numpy()
    return np.where(np.isnan(found), -np.inf, found).astype(np.float32)


def highest(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """N×places×C → N×C the greatest of all places, or NaN where any is.

    NumPy reads as fast as memory gives where rows are long, which torch does not, so several places lie side by side.
    """
    count, places, units = maps.shape
    beside = 1
    while units * beside < WIDE and places % (2 * beside) == 0:
        beside *= 2
    wide = np.maximum.reduce(maps.reshape(count, places // beside, beside * units), axis=1)
    found: NDArray[np.float32] = wide.reshape(count, beside, units).max(axis=1)
    return found


def is_plain(output: Tensor) -> bool:
    """Whether NumPy can read it where it is."""
    return output.device.type == "cpu" and output.dtype == torch.float32


def chosen_maps(output: Tensor, images: NDArray[np.intp]) -> NDArray[np.float32]:
    """N×C×H×W or N×C → (n, C, places) float32 of some of the images."""
    found = (
        output[images.tolist()].float().flatten(2) if output.ndim == 4 else output[images.tolist()].float()[..., None]
    )
    return found.cpu().numpy()


def by_rows(one: State, other: State) -> State:
    """Two states with a row per image, in the order of the images."""
    joined = {name: np.concatenate([one[name], other[name]]) for name in one}
    order = np.argsort(joined["rows"], kind="stable")
    return {name: array[order] for name, array in joined.items()}
