"""Whether any gradient still reaches each unit: without one its weights never change, and training cannot mend it.

A unit is gradient-dead on a sample if the gradient of the scores with respect to what enters its rectifier is 0 at
every place of every image. Karpathy's CS231n notes name it as what high learning rates do to ReLU networks.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convscope.models.net import Net
from convscope.models.slopes import gradients_before
from convscope.passes.fold import Batch, Fold, Followed, State, Units

SAMPLE = 64  # images
AT_ONCE = 4  # images in one backward pass, which keeps every layer in memory


class Gradients(Fold):
    """Per unit the greatest size of the gradient that reaches it, over the places and images of a sample.

    The gradient is that of a random mix of all scores (seeded, normal weights), so that no class's choice matters:
    it is 0 only where no way leads from the unit to any score.
    """

    name = "gradients"

    def __init__(self, net: Net, layers: tuple[Followed, ...], sample: int = SAMPLE) -> None:
        self.net = net
        self.units = Units(layers)
        self.sample = sample

    def describe(self) -> dict[str, Any]:
        """The size of the sample."""
        return {"sample": self.sample}

    def none(self) -> State:
        """No image yet."""
        return {"images": np.zeros(1, np.int64), "gradient": np.zeros(self.units.count, np.float32)}

    def add(self, state: State, batch: Batch) -> None:
        """A forward and a backward pass for the images of the sample."""
        images = np.flatnonzero(batch.ranks < self.sample).tolist()
        if not images:
            return
        state["images"] = state["images"] + len(images)
        for start in range(0, len(images), AT_ONCE):
            some = batch.pixels[images[start : start + AT_ONCE]]
            found = gradients_before(self.net, some, [layer.name for layer in self.units.layers])
            for name, part in self.units.slices.items():
                state["gradient"][part] = np.maximum(state["gradient"][part], largest(found[name]))

    def merge(self, one: State, other: State) -> State:
        """The greater of both."""
        return {
            "images": one["images"] + other["images"],
            "gradient": np.maximum(one["gradient"], other["gradient"]),
        }

    def finish(self, state: State) -> State:
        """gradient (U,), images (1,)."""
        return state


def largest(gradient: Tensor) -> Any:
    """N×C×H×W or N×C → (C,) the greatest absolute value."""
    sizes = gradient.abs().transpose(0, 1).flatten(1).amax(1)
    return torch.nan_to_num(sizes, nan=torch.inf).float().cpu().numpy()
