"""What the net says of each image: its five best classes, and how it fares with the label."""

from typing import Any

import numpy as np

from convscope.passes.fold import Batch, Fold, State, by_rows

TOP = 5


class Predictions(Fold):
    """Per image the top 5 with probabilities, the probability of the label's class, and whether top-1 is right."""

    name = "predictions"
    by_image = True

    def __init__(self, classes: int) -> None:
        self.top = min(TOP, classes)

    def describe(self) -> dict[str, Any]:
        """How many classes are kept."""
        return {"top": self.top}

    def none(self) -> State:
        """No image yet."""
        return {
            "rows": np.zeros(0, np.int64),
            "classes": np.zeros((0, self.top), np.int32),
            "probabilities": np.zeros((0, self.top), np.float32),
            "targets": np.zeros(0, np.int64),
            "target_probabilities": np.zeros(0, np.float32),
        }

    def add(self, state: State, batch: Batch) -> None:
        """Classes by falling probability; ties go to the lower class."""
        scores = batch.scores
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))  # in numpy: torch's softmax varies with the batch
        probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.top]
        known = batch.targets >= 0
        of_target = probabilities[np.arange(len(batch)), np.where(known, batch.targets, 0)]
        fresh: State = {
            "rows": batch.rows,
            "classes": order.astype(np.int32),
            "probabilities": np.take_along_axis(probabilities, order, axis=1),
            "targets": batch.targets,
            "target_probabilities": np.where(known, of_target, np.float32(np.nan)).astype(np.float32),
        }
        state.update(by_rows(state, fresh))

    def merge(self, one: State, other: State) -> State:
        """Both, in the order of the images."""
        return by_rows(one, other)

    def finish(self, state: State) -> State:
        """As it is; `correct` is -1 where the label is no class of the net, else 0 or 1."""
        right = state["classes"][:, 0] == state["targets"]
        return {**state, "correct": np.where(state["targets"] < 0, -1, right).astype(np.int8)}
