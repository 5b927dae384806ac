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
        shape = (self.units.count, self.k)
        return {
            "values": np.full(shape, -np.inf, np.float32),
            "rows": np.full(shape, NO_ROW, np.int64),
            "contents": np.zeros(shape, np.uint64),
            "places": np.zeros((*shape, 2), np.int16),
        }

    def see(self, state: State, batch: Batch, layer: str, output: Tensor) -> None:
        """Lets the batch's images compete with those kept so far."""
        self.compete(state, batch, layer, batch.peaks[layer], output)

    def compete(self, state: State, batch: Batch, layer: str, values: NDArray[np.float32], output: Tensor) -> None:
        """The same for any values (n, units) and the maps N×units×H×W that they are the greatest values of."""
        first_of_content = batch.distinct
        values = values[first_of_content].T
        part = self.units.slices[layer]
        last = state["values"][part, -1]
        moved = np.flatnonzero(values.max(axis=1, initial=-np.inf) >= last)
        if not len(moved):
            return
        values = values[moved]
        width = min(int((values >= last[moved, None]).sum(axis=1).max()), self.k)  # soon few images still move a unit
        order = np.argsort(-values, axis=1, kind="stable")[:, :width]  # of equals the lower row comes first
        source = first_of_content[order]
        kept = {name: array[part][moved] for name, array in state.items()}
        challengers: State = {
            "values": np.take_along_axis(values, order, axis=1),
            "rows": batch.rows[source],
            "contents": batch.contents[source],
            "places": np.zeros((*order.shape, 2), np.int16),  # looked up below, for those that stay
            "source": source,
        }
        best = self.best({**kept, "source": np.full_like(kept["rows"], NO_ROW)}, challengers)
        source = np.where(best["rows"] == NO_ROW, NO_ROW, best.pop("source"))
        if output.ndim == 4:
            fill_places(best["places"], source, moved, output)
        for name, array in state.items():
            array[part.start + moved] = best[name]

    def merge(self, one: State, other: State) -> State:
        """The k best of both."""
        moved = np.flatnonzero(other["values"][:, 0] >= one["values"][:, -1])
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


def fill_places(places: NDArray[np.int16], source: NDArray[np.int64], units: NDArray[np.intp], output: Tensor) -> None:
    """Looks up the place of the greatest value for entries (row of the table, rank) with a source image, in place.

    Few images are among a unit's best, so this is cheaper than finding the place of every greatest value. Where a
    drive is nowhere above 0, the place is the first one, as it is for the rectifier's output.
    """
    table, rank = np.nonzero(source >= 0)
    maps = output[torch.from_numpy(source[table, rank]), torch.from_numpy(units[table])].float().flatten(1)
    index = maps.cpu().numpy().argmax(axis=1)  # NumPy gives the first of equals, whatever the vector width
    places[table, rank] = np.stack(np.divmod(index, output.shape[3]), axis=-1)


def ranked(table: State) -> State:
    """Columns sorted per unit: greatest value first, then lower image row; empty ones last."""
    late = np.where(table["rows"] == NO_ROW, np.iinfo(np.int64).max, table["rows"])
    order = np.lexsort((late, -table["values"]), axis=-1)
    return {
        name: np.take_along_axis(array, order if array.ndim == 2 else order[:, :, None], axis=1)
        for name, array in table.items()
    }
