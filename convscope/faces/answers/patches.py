"""The strongest patches of a layer's units, their middle, and its random directions, as arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from convscope.models.layers import SMOOTH
from convscope.store.opened import AtlasStore

PATCHES = 9  # of a unit, at most


@dataclass(frozen=True, eq=False)
class Strips:
    """Patches of several units or directions, in their order; row -1 where there were fewer images."""

    rows: NDArray[np.int32]  # (U, k) in atlas.images
    values: NDArray[np.float32]  # (U, k)
    places: NDArray[np.int16]  # (U, k, 2)
    boxes: NDArray[np.int16]  # (U, k, 4) px of the net's input

    def of(self, units: NDArray[np.int64]) -> "Strips":
        """Those of some units."""
        return Strips(self.rows[units], self.values[units], self.places[units], self.boxes[units])


@dataclass(frozen=True, eq=False)
class Patches:
    """The strongest patches of a layer's units, best first; row -1 where there were fewer images."""

    name: str
    kind: str
    silences: bool  # whether a unit that never rises above 0 does nothing
    rows: NDArray[np.int32]  # (U, k) in atlas.images
    values: NDArray[np.float32]  # (U, k)
    places: NDArray[np.int16]  # (U, k, 2)
    boxes: NDArray[np.int16]  # (U, k, 4) px of the net's input
    drives: NDArray[np.float32]  # (U, k) what they are ranked by: the values before a ceiling cut them off
    ceiling: float | None = None  # of the activation, if it has one
    middle: Strips | None = None  # of the units: images around the median of those that excite them
    directions: Strips | None = None  # random ones

    @property
    def strongest(self) -> Strips:
        """Those of all units."""
        return Strips(self.rows, self.values, self.places, self.boxes)

    @cached_property
    def never(self) -> NDArray[np.bool_]:
        """(U,) units whose greatest activation is not above 0, where that means silence."""
        return (self.values[:, 0] <= 0) & self.silences

    @cached_property
    def shown(self) -> NDArray[np.int64]:
        """Numbers of the units that have something to show."""
        return np.flatnonzero(~self.never & (self.rows[:, 0] >= 0))

    @cached_property
    def saturated(self) -> NDArray[np.int64]:
        """(U,) how many of a unit's patches reach the ceiling."""
        if self.ceiling is None:
            return np.zeros(len(self.rows), np.int64)
        full: NDArray[np.int64] = ((self.values >= self.ceiling) & (self.rows >= 0)).sum(axis=1, dtype=np.int64)
        return full


def read_patches(store: AtlasStore, name: str) -> Patches:
    """The patches of a followed layer."""
    start, count = store.followed[name]
    record = store.layers[name]
    names = ("rows", "values", "places", "boxes", "drives")
    chosen = slice(start, start + count), slice(PATCHES)
    arrays = {part: np.asarray(store.array(f"strongest/{part}")[chosen]) for part in names}
    silences = bool(record["rectified"]) or record["kind"] in SMOOTH
    ceiling = store.manifest["folds"]["strongest"]["ceilings"].get(name)
    directions = store.manifest["folds"]["directions"]["count"]
    first = list(store.followed).index(name) * directions
    return Patches(
        name,
        record["kind"],
        silences and name != store.manifest["net"]["output"],
        **arrays,
        ceiling=ceiling,
        middle=read_strips(store, "middle", slice(start, start + count)),
        directions=read_strips(store, "directions", slice(first, first + directions)),
    )


def read_strips(store: AtlasStore, fold: str, chosen: slice) -> Strips:
    """What a fold kept for some units or directions."""
    names = ("rows", "values", "places", "boxes")
    return Strips(*(np.asarray(store.array(f"{fold}/{part}")[chosen][:, :PATCHES]) for part in names))
