"""A fold: something that is learnt from all images, a batch at a time, in any grouping of the batches.

none() → add(batch) → merge(other) → finish(). A state is a table of arrays, so that every fold is stored and sent
in the same way. Merging is associative and commutative; top-k and counts come out bit-equal in any order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images after one forward."""

    rows: NDArray[np.int64]  # (n,) the images' positions in the listing
    contents: NDArray[np.uint64]  # (n,) equal where the files' bytes are equal
    targets: NDArray[np.int64]  # (n,) the class of the image's label, or -1
    outputs: Mapping[str, Tensor]  # layer → N×C×H×W or N×C

    def __len__(self) -> int:
        return len(self.rows)


@runtime_checkable
class Fold(Protocol):
    """The four verbs, the layers to read, and what tells one setting from another."""

    name: str
    layers: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Everything that changes the result, as JSON: part of the key of the work."""
        ...

    def none(self) -> State:
        """The state before any image."""
        ...

    def add(self, state: State, batch: Batch) -> State:
        """The state after some more images."""
        ...

    def merge(self, one: State, other: State) -> State:
        """The state after the images of both."""
        ...

    def finish(self, state: State) -> State:
        """The arrays that the atlas keeps, rows still as positions in the listing."""
        ...
