"""The images that excite each unit most: one place each, the k best of all images.

Girshick et al. 2014, Rich feature hierarchies, section 3.1 and figure 4 (arXiv:1311.2524).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.passes.fold import Batch, State

NO_ROW = -1


class Strongest:
    """Per unit of some layers the k images with the greatest activation, best first, and the place of it.

    Ties go to the lower image row and the first place in reading order; equal contents count once.
    The units of all layers stand in one long axis, layer after layer.

    Behind a rectifier with a ceiling (ReLU6) most of a deep unit's best images tie at the ceiling, and a plain sort
    would show the first files of the listing. So where activations are equal, the rectifier's input decides: a
    layer in `ceilings` is read at the layer that feeds it, ranked by max(input, 0), and cut off at the end.
    """

    name = "strongest"

    def __init__(
        self, units: Mapping[str, int], k: int = 9, ceilings: Mapping[str, tuple[str, float]] | None = None
    ) -> None:
        self.units = dict(units)  # layer → number of units
        self.ceilings = dict(ceilings or {})  # layer → the layer that feeds it, and the ceiling
        self.layers = tuple(self.ceilings[name][0] if name in self.ceilings else name for name in units)
        self.k = k

    def describe(self) -> dict[str, Any]:
        """The layers, their units and ceilings, and k."""
        return {"k": self.k, "units": self.units, "ceilings": {name: high for name, (_, high) in self.ceilings.items()}}

    def none(self) -> State:
        """No image yet: value -inf, row -1."""
        shape = (sum(self.units.values()), self.k)
        return {
            "values": np.full(shape, -np.inf, np.float32),
            "rows": np.full(shape, NO_ROW, np.int64),
            "contents": np.zeros(shape, np.uint64),
            "places": np.zeros((*shape, 2), np.int16),
        }

    def add(self, state: State, batch: Batch) -> State:
        """Lets the batch's images compete with those kept so far."""
        first_of_content = np.sort(np.unique(batch.contents, return_index=True)[1])
        chosen = torch.from_numpy(first_of_content)
        outputs = []
        for name, read in zip(self.units, self.layers, strict=True):
            output = batch.outputs[read].detach()
            output = output if len(chosen) == len(output) else output[chosen]
            outputs.append(output.clamp(min=0) if name in self.ceilings else output)
        values = np.concatenate([np.zeros((0, len(chosen)), np.float32), *map(peaks, outputs)])
        moved = values.max(axis=1, initial=-np.inf) >= state["values"][:, -1]
        kept = {name: array[moved] for name, array in state.items()}
        wide = (int(moved.sum()), len(chosen))
        challengers = {
            "values": values[moved],
            "rows": np.broadcast_to(batch.rows[first_of_content], wide),
            "contents": np.broadcast_to(batch.contents[first_of_content], wide),
            "places": np.zeros((*wide, 2), np.int16),  # looked up below, for those that stay
            "source": np.broadcast_to(np.arange(len(chosen), dtype=np.int32), wide),
        }
        best = dict(self.best({**kept, "source": np.full_like(kept["rows"], -1, np.int32)}, challengers))
        source = np.where(best["rows"] == NO_ROW, -1, best.pop("source"))
        fill_places(best["places"], source, np.flatnonzero(moved), outputs)
        return {name: replaced(array, moved, best[name]) for name, array in state.items()}

    def merge(self, one: State, other: State) -> State:
        """The k best of both."""
        return self.best(one, other)

    def best(self, one: State, other: State) -> State:
        """The k best among the columns of two tables, each content once."""
        table = {name: np.concatenate([one[name], other[name]], axis=1) for name in one}
        table = ranked(table)
        contents, filled = table["contents"], table["rows"] != NO_ROW
        again = (contents[:, :, None] == contents[:, None, :]) & filled[:, :, None] & filled[:, None, :]
        repeated = np.tril(again, k=-1).any(axis=2)
        if repeated.any():
            table["values"] = np.where(repeated, -np.inf, table["values"]).astype(np.float32)
            table["rows"] = np.where(repeated, NO_ROW, table["rows"])
            table["contents"] = np.where(repeated, np.uint64(0), table["contents"])
            table["places"] = np.where(repeated[:, :, None], np.int16(0), table["places"])
            table = ranked(table)
        return {name: array[:, : self.k] for name, array in table.items()}

    def finish(self, state: State) -> State:
        """values (U, k), rows (U, k) with -1 where there were fewer images, places (U, k, 2) as (row, column).

        drives (U, k): what the images are ranked by: the values before a ceiling cut them off.
        """
        found = {name: state[name] for name in ("values", "rows", "places")}
        highest = [np.full(count, self.ceilings.get(name, ("", np.inf))[1]) for name, count in self.units.items()]
        limits = np.concatenate([np.zeros(0), *highest]).astype(np.float32)
        return {**found, "drives": found["values"], "values": np.minimum(found["values"], limits[:, None])}


def peaks(output: Tensor) -> NDArray[np.float32]:
    """N×C×H×W or N×C → the greatest value per unit and image (C, N)."""
    values = output.float().amax(dim=(2, 3)) if output.ndim == 4 else output.float()
    return values.T.cpu().numpy()


def fill_places(
    places: NDArray[np.int16], source: NDArray[np.int32], units: NDArray[np.int64], outputs: Sequence[Tensor]
) -> None:
    """Looks up the place of the greatest value for entries (row of the table, rank) with a source image, in place.

    Few images are among a unit's best, so this is cheaper than finding the place of every greatest value.
    """
    start = 0
    for output in outputs:
        stop = start + output.shape[1]
        if output.ndim == 4:
            first, last = np.searchsorted(units, (start, stop))
            table, rank = np.nonzero(source[first:last] >= 0)
            images, own = source[first:last][table, rank], units[first:last][table] - start
            maps = output[torch.from_numpy(images).long(), torch.from_numpy(own).long()].float().flatten(1)
            index = maps.cpu().numpy().argmax(axis=1)  # NumPy gives the first of equals, whatever the vector width
            places[first + table, rank] = np.stack(np.divmod(index, output.shape[3]), axis=-1)
        start = stop


def ranked(table: State) -> dict[str, NDArray[Any]]:
    """Columns sorted per unit: greatest value first, then lower image row; empty ones last."""
    late = np.where(table["rows"] == NO_ROW, np.iinfo(np.int64).max, table["rows"])
    order = np.lexsort((late, -table["values"]), axis=-1)
    return {
        name: np.take_along_axis(array, order if array.ndim == 2 else order[:, :, None], axis=1)
        for name, array in table.items()
    }


def replaced(array: NDArray[Any], where: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
    """A copy with some rows replaced."""
    copy = array.copy()
    copy[where] = values
    return copy
