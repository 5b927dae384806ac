"""A few images from the middle of each unit's distribution, so that one does not only see the extreme tail."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convscope.passes.fold import Batch, Fold, Followed, State, Units, by_rows, chosen_maps
from convscope.passes.strongest import NO_ROW

SAMPLE = 128  # images
MIDDLE = 3  # images a unit


class Middle(Fold):
    """Per unit the images around the median activation, among the images of a sample that excite it at all.

    Of a layer that is not rectified: among all images of the sample. Equal contents count once.
    """

    name = "middle"
    of_drives = True

    def __init__(self, layers: tuple[Followed, ...], sample: int = SAMPLE) -> None:
        self.units = Units(layers)
        self.layers = tuple(layer.name for layer in layers)
        self.sample = sample

    def describe(self) -> dict[str, Any]:
        """The size of the sample, and how many images a unit gets."""
        return {"sample": self.sample, "count": MIDDLE}

    def none(self) -> State:
        """No image yet."""
        return {
            "rows": np.zeros(0, np.int64),
            "contents": np.zeros(0, np.uint64),
            "values": np.zeros((0, self.units.count), np.float32),
            "places": np.zeros((0, self.units.count, 2), np.int16),
        }

    def see(self, state: State, batch: Batch, layer: str, output: Tensor) -> None:  # noqa: ARG002
        """Finds the place of the greatest activation of each unit, for the images of the sample."""
        images = np.flatnonzero(batch.ranks < self.sample)
        if len(images) and output.ndim == 4:
            index = chosen_maps(output, images).argmax(axis=2)
            batch.kept[self.name, layer] = np.stack(np.divmod(index, output.shape[3]), axis=-1).astype(np.int16)

    def add(self, state: State, batch: Batch) -> None:
        """Keeps the greatest activations of the images of the sample."""
        images = np.flatnonzero(batch.ranks < self.sample)
        if not len(images):
            return
        fresh: State = {
            "rows": batch.rows[images],
            "contents": batch.contents[images],
            "values": np.zeros((len(images), self.units.count), np.float32),
            "places": np.zeros((len(images), self.units.count, 2), np.int16),
        }
        for layer, part in self.units.slices.items():
            fresh["values"][:, part] = batch.peaks[layer][images]
            fresh["places"][:, part] = batch.kept.get((self.name, layer), np.int16(0))
        state.update(self.merge(state, fresh))

    def merge(self, one: State, other: State) -> State:
        """The samples of both, in the order of the images."""
        return by_rows(one, other)

    def finish(self, state: State) -> State:
        """rows (U, 3) with -1 where fewer images excite a unit, values (U, 3), places (U, 3, 2); weakest last."""
        first = np.sort(np.unique(state["contents"], return_index=True)[1])
        values, rows, places = (state[name][first] for name in ("values", "rows", "places"))
        shape = (self.units.count, MIDDLE)
        found: State = {
            "rows": np.full(shape, NO_ROW, np.int64),
            "values": np.full(shape, -np.inf, np.float32),
            "places": np.zeros((*shape, 2), np.int16),
        }
        for layer in self.units.layers:
            for unit in range(*self.units.slices[layer.name].indices(self.units.count)):
                fires = values[:, unit] > 0 if layer.rectified else values[:, unit] > -np.inf
                around = middle_of(values[:, unit], np.flatnonzero(fires))
                found["rows"][unit, : len(around)] = rows[around]
                found["values"][unit, : len(around)] = np.minimum(values[around, unit], layer.ceiling)
                found["places"][unit, : len(around)] = places[around, unit]
        return found


def middle_of(values: NDArray[np.float32], images: NDArray[np.intp]) -> NDArray[np.intp]:
    """The images around the median value, strongest first."""
    order = images[np.lexsort((images, -values[images]))]
    start = max((len(order) - MIDDLE) // 2, 0)
    return order[start : start + MIDDLE]
