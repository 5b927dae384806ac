"""What excites a unit: the mean of its maxima over the images of each predicted class."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.passes.fold import Batch, Fold, Followed, State, Units
from convscope.passes.vitals import batch_values

KEPT = 5  # classes a unit
ENOUGH = 5  # images of a class for its mean to say something: others come after these


class Classes(Fold):
    """Per unit the predicted classes whose images excite it most, on average."""

    name = "classes"

    def __init__(self, layers: tuple[Followed, ...]) -> None:
        self.units = Units(layers)

    def describe(self) -> dict[str, Any]:
        """How many classes a unit keeps, and how many images of one say something."""
        return {"kept": KEPT, "enough": ENOUGH}

    def none(self) -> State:
        """No class was predicted yet."""
        return {
            "classes": np.zeros(0, np.int32),
            "counts": np.zeros(0, np.int64),
            "sums": np.zeros((0, self.units.count)),
        }

    def add(self, state: State, batch: Batch) -> None:
        """Each image adds to the class that the net sees in it."""
        values = batch_values(self.units, batch).astype(np.float64)
        classes, own = np.unique(batch.scores.argmax(axis=1), return_inverse=True)
        where = self.rows_of(state, classes)
        for image, position in enumerate(where[own]):
            state["counts"][position] += 1
            state["sums"][position] += values[image]

    def merge(self, one: State, other: State) -> State:
        """Counts and sums of each class added."""
        found = {name: array.copy() for name, array in one.items()}
        self.absorb(found, other)
        return found

    def absorb(self, state: State, other: State) -> None:
        """The same, in place: of a thousand classes a shard has few."""
        where = self.rows_of(state, other["classes"])
        state["counts"][where] += other["counts"]
        state["sums"][where] += other["sums"]

    def rows_of(self, state: State, classes: NDArray[Any]) -> NDArray[np.intp]:
        """Where classes (sorted, each once) stand in the state, which is given rows for those that it lacks."""
        fresh = np.setdiff1d(classes, state["classes"])
        where = np.searchsorted(state["classes"], fresh)
        if len(fresh):
            for name, value in (("classes", fresh), ("counts", 0), ("sums", 0)):
                state[name] = np.insert(state[name], where, value, axis=0)
        return np.searchsorted(state["classes"], classes)

    def finish(self, state: State) -> State:
        """classes (U, 5) by falling mean with -1 where there are fewer, means (U, 5), counts (U, 5) of images.

        Classes of fewer than five images come after all others.
        """
        means = state["sums"] / np.maximum(state["counts"], 1)[:, None]
        few = np.broadcast_to(state["counts"][:, None] < ENOUGH, means.shape)
        order = np.lexsort((-means, few), axis=0)[:KEPT].T
        shape = (self.units.count, KEPT)
        found: State = {
            "classes": np.full(shape, -1, np.int32),
            "means": np.full(shape, np.nan, np.float32),
            "counts": np.zeros(shape, np.int64),
        }
        kept = order.shape[1]
        found["classes"][:, :kept] = state["classes"][order]
        found["means"][:, :kept] = np.take_along_axis(means.T, order, axis=1)
        found["counts"][:, :kept] = state["counts"][order]
        return found
