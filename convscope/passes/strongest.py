"""The images that excite each unit most: one place each, the k best of all images.

Girshick et al. 2014, Rich feature hierarchies, section 3.1 and figure 4 (arXiv:1311.2524).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.passes.fold import Batch, Fold, Followed, State, Units

NO_ROW = -1


class Strongest(Fold):
    """Per unit of some layers the k images with the greatest activation, best first, and the place of it.

    Ties go to the lower image row and the first place in reading order; equal contents count once.

    Behind a rectifier with a ceiling (ReLU6) most of a deep unit's best images tie at the ceiling, and a plain sort
    would show the first files of the listing. So where activations are equal, the rectifier's input decides: units
    are ranked by their drive, max(input, 0), which is cut off at the end.
    """

    name = "strongest"
    of_drives = True

    def __init__(self, layers: tuple[Followed, ...], k: int = 9) -> None:
        self.units = Units(layers)
        self.layers = tuple(layer.name for layer in layers)
        self.k = k

    def describe(self) -> dict[str, Any]:
        """The layers, their units and ceilings, and k."""
        layers = self.units.layers
        return {
            "k": self.k,
            "units": {layer.name: layer.units for layer in layers},
            "ceilings": {layer.name: layer.ceiling for layer in layers if np.isfinite(layer.ceiling)},
        }

    def none(self) -> State:
        """No image yet: value -inf, row -1."""
        return empty_table(self.units.count, self.k)

    def begin(self, so_far: State) -> State:
        """The best of the shards before: merging gives the same with them as without, and few images compete."""
        return {name: array.copy() for name, array in so_far.items()}

    def see(self, state: State, batch: Batch, layer: str, output: Tensor) -> None:
        """Notes the images that may be among the best of a unit, and where."""
        self.note(state, batch, layer, batch.peaks[layer], output)

    def note(self, state: State, batch: Batch, layer: str, values: NDArray[np.float32], output: Tensor) -> None:
        """The same for any values (n, units) and the maps N×units×H×W that they are the greatest values of."""
        part = self.units.slices[layer]
        last, rows = state["values"][part, -1], state["rows"][part, -1]
        values, distinct = values[batch.distinct], batch.distinct
        may = values >= last
        if len(values) > self.k and may.sum() > self.k * may.shape[1]:  # at first every image is among the best
            may &= values >= np.partition(values, -self.k, axis=0)[-self.k]
        images, units = np.nonzero(may)
        values, images = values[images, units], distinct[images]
        better = (values > last[units]) | (batch.rows[images] < late(rows[units]))  # of equals the first image
        images, units, values = images[better], units[better], values[better]
        batch.kept[self.name, layer] = images, units + part.start, values, places_of(output, images, units)

    def add(self, state: State, batch: Batch) -> None:
        """Lets the images that were noted compete with those kept so far, of all layers at once."""
        if not self.layers:
            return
        noted = zip(*(batch.kept[self.name, layer] for layer in self.layers), strict=True)
        images, units, values, places = (np.concatenate(parts) for parts in noted)
        order = np.lexsort((batch.rows[images], -values, units))
        moved, first, counts = np.unique(units[order], return_index=True, return_counts=True)
        if not len(moved):
            return
        rank = np.arange(len(order)) - np.repeat(first, counts)
        table = np.repeat(np.arange(len(moved)), counts)
        order, rank, table = (array[rank < self.k] for array in (order, rank, table))
        challengers = empty_table(len(moved), int(rank.max()) + 1)
        challengers["values"][table, rank] = values[order]
        challengers["rows"][table, rank] = batch.rows[images[order]]
        challengers["contents"][table, rank] = batch.contents[images[order]]
        challengers["places"][table, rank] = places[order]
        best = self.best({name: array[moved] for name, array in state.items()}, challengers)
        for name, array in state.items():
            array[moved] = best[name]

    def merge(self, one: State, other: State) -> State:
        """The k best of both."""
        better = other["values"][:, 0] >= one["values"][:, -1]
        moved = np.flatnonzero(better & (other["rows"] != one["rows"]).any(axis=1))  # not where it knew no more
        best = self.best(*({name: array[moved] for name, array in state.items()} for state in (one, other)))
        found = {name: array.copy() for name, array in one.items()}
        for name, array in found.items():
            array[moved] = best[name]
        return found

    def best(self, one: State, other: State) -> State:
        """The k best among the columns of two tables, each content once."""
        table = ranked({name: np.concatenate([one[name], other[name]], axis=1) for name in one})
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
        limits = self.units.spread({layer.name: layer.ceiling for layer in self.units.layers})
        return {**found, "drives": found["values"], "values": np.minimum(found["values"], limits[:, None])}


def empty_table(units: int, width: int) -> State:
    """No image yet: value -inf, row -1."""
    shape = (units, width)
    return {
        "values": np.full(shape, -np.inf, np.float32),
        "rows": np.full(shape, NO_ROW, np.int64),
        "contents": np.zeros(shape, np.uint64),
        "places": np.zeros((*shape, 2), np.int16),
    }


def places_of(output: Tensor, images: NDArray[np.intp], units: NDArray[np.intp]) -> NDArray[np.int16]:
    """(n, 2) the places of the greatest values of some maps.

    Few images are among a unit's best, so this is cheaper than finding the place of every greatest value. Where a
    drive is nowhere above 0, the place is the first one, as it is for the rectifier's output.
    """
    found = np.zeros((len(images), 2), np.int16)
    if output.ndim == 4 and len(images):
        maps = output[torch.from_numpy(images), torch.from_numpy(units)].float().flatten(1)
        index = maps.cpu().numpy().argmax(axis=1)  # NumPy gives the first of equals, whatever the vector width
        found[:, 0], found[:, 1] = np.divmod(index, output.shape[3])
    return found


def late(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows, empty entries after all others."""
    return np.where(rows == NO_ROW, np.iinfo(np.int64).max, rows)


def ranked(table: State) -> State:
    """Columns sorted per unit: greatest value first, then lower image row; empty ones last."""
    order = np.lexsort((late(table["rows"]), -table["values"]), axis=-1)
    return {
        name: np.take_along_axis(array, order if array.ndim == 2 else order[:, :, None], axis=1)
        for name, array in table.items()
    }
