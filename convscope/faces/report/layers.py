"""A layer in the report: what is known of it, and its units' patches as packed arrays."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.models.layers import SMOOTH
from convscope.store.opened import AtlasStore

PATCHES = 9  # of a unit, at most


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
    return Patches(
        name, record["kind"], silences and name != store.manifest["net"]["output"], **arrays, ceiling=ceiling
    )


def describe_layer(record: Mapping[str, Any], patches: Patches, units: NDArray[np.int64]) -> dict[str, Any]:
    """A layer as JSON: its record, and the patches of some of its units.

    Places and boxes repeat: `cells` numbers the distinct ones in `table`, rows of place row and column, top, left,
    bottom, right. Arrays are little-endian: int32 units, rows; float32 values; int32 cells; int16 table.
    """
    names = ("name", "aliases", "kind", "shape", "rectified", "receptive")
    both = np.concatenate([patches.places[units], patches.boxes[units]], axis=2)
    table, cells = np.unique(both.reshape(-1, 6), axis=0, return_inverse=True)
    values = np.where(patches.rows[units] >= 0, patches.values[units], 0)
    return {
        **{name: record[name] for name in names},
        "k": patches.rows.shape[1],
        "silences": patches.silences,
        "never": np.flatnonzero(patches.never).tolist(),
        "active": len(patches.shown),
        "ceiling": patches.ceiling,
        "saturated": int((patches.saturated >= np.maximum((patches.rows >= 0).sum(axis=1), 1)).sum()),
        "units": packed(units, "<i4"),
        "rows": packed(patches.rows[units], "<i4"),
        "values": packed(values, "<f4"),
        "cells": packed(cells, "<i4"),
        "table": packed(table, "<i2"),
    }


def packed(array: NDArray[Any], kind: str) -> str:
    """An array's bytes in base64, in reading order."""
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()
