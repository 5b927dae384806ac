"""The network as a build runs it: one layer after the other, each shown when it is computed and then forgotten.

Nothing is kept for later, so large images of many layers need no memory, and values are reduced while they are still
in the processor's cache. What is folded and overwritten is said in steps.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from convscope.models.layers import Layer
from convscope.models.net import Net
from convscope.models.steps import Steps

Shown = Callable[[str, Tensor], None]  # layer, N×C×H×W or N×C: to be read at once, for it is overwritten later


class Stream:
    """A net prepared to show some of its layers for many batches, as fast as it can."""

    def __init__(self, net: Net, names: Sequence[str]) -> None:
        self.net = net
        self.shown: dict[fx.Node, list[tuple[str, Layer]]] = {}
        for name in dict.fromkeys(names):
            layer = net.layer(name)
            self.shown.setdefault(layer.node, []).append((name, layer))
        self.steps = Steps(net, set(self.shown))

    @torch.inference_mode()
    def run(self, pixels: Tensor, show: Shown) -> None:
        """N×3×H×W in [0, 1] → every layer asked for, in the order of computation, given to `show`."""
        graph = self.net.graph
        values: dict[fx.Node, Any] = dict(self.steps.weights)
        values[graph.pixels] = self.net.preprocess.normalise(pixels.to(self.net.device, graph.pixels.meta["val"].dtype))
        for step in self.steps.all:
            arguments, keywords = fx.node.map_arg((step.arguments, step.keywords), lambda source: values[source])
            value = step.operator(*arguments, **keywords)
            values[step.node] = value
            for name, layer in self.shown.get(step.node, ()):
                show(name, layer.ordered(value))
            for node in step.done_with:
                del values[node]
