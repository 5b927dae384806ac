"""The clean image's values at every step, and windows cut out of them.

A map is kept as a table of rows × columns × channels with one row and one column more, of what stands around the map:
a cell outside is then an index like any other.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from convscope.models.incremental.local import MAP, Fields, is_tensor
from convscope.models.layers import Layer
from convscope.models.net import Net
from convscope.models.steps import CHANGING, PLAIN, Steps


class Clean:
    """One forward of the clean image; rectifiers and sums in place leave no value of what they overwrote."""

    def __init__(
        self,
        net: Net,
        steps: Steps,
        pixels: Tensor,
        followed: Sequence[tuple[Layer, int]],
        overwritten: frozenset[fx.Node],
    ) -> None:
        self.fields: Fields = net.fields
        self.changing = frozenset(node for node in net.graph.from_pixels if is_tensor(node))
        self.values: dict[fx.Node, Any] = dict(steps.weights)
        self.values[net.graph.pixels] = normalised(net, pixels)
        integrals: dict[int, Tensor] = {}
        for step in steps.all:
            arguments, keywords = fx.node.map_arg((step.arguments, step.keywords), lambda source: self.values[source])
            change = step.operator in CHANGING
            if change and step.arguments[0] not in overwritten:
                self.values[step.node] = PLAIN[step.operator](*arguments, **keywords)
            else:
                self.values[step.node] = step.operator(*arguments, **keywords)
            for place, (layer, unit) in enumerate(followed):
                if layer.node is step.node:
                    integrals[place] = integral(layer.ordered(self.values[step.node])[0, unit])
            if change and step.arguments[0] in overwritten:
                del self.values[step.arguments[0]]
        self.integrals = [integrals[place] for place in range(len(followed))]
        self.sums = torch.stack([one[-1, -1] for one in self.integrals]) if followed else torch.zeros(0).double()
        self._tables: dict[tuple[fx.Node, float], Tensor] = {}

    def table(self, node: fx.Node, outside: float = 0.0) -> Tensor:
        """(rows + 1) × (columns + 1) × channels: a map with what stands around it at the end."""
        if (node, outside) not in self._tables:
            maps = self.values[node].permute(order_of(node, self.fields))[0]
            height, width, channels = maps.shape
            table = maps.new_full((height + 1, width + 1, channels), outside)
            table[:height, :width] = maps
            self._tables[node, outside] = table
            if outside == 0.0:  # kept once
                self.values[node] = self.as_known(table[None, :height, :width], node)
        return self._tables[node, outside]

    def as_known(self, maps: Tensor, node: fx.Node) -> Tensor:
        """N×height×width×channels with the axes in the order in which a node has them."""
        order = order_of(node, self.fields)
        return maps.permute([order.index(axis) for axis in range(4)])

    def gather(self, node: fx.Node, rows: Tensor, columns: Tensor, outside: float = 0.0) -> Tensor:
        """N×height×width×channels at those rows (N×height) and columns (N×width); one past the map is outside."""
        table = self.table(node, outside)
        index = (rows * table.shape[1])[:, :, None] + columns[:, None, :]
        found = table.view(-1, table.shape[2]).index_select(0, index.view(-1))
        return found.view(*index.shape, table.shape[2])


def integral(values: Tensor) -> Tensor:
    """Sums of a map over all rows and columns before each one, float64: (rows + 1) × (columns + 1)."""
    values = values.double().cpu().reshape(values.shape if values.ndim == 2 else (1, 1))
    return torch.nn.functional.pad(values, (1, 0, 1, 0)).cumsum(0).cumsum(1)


def normalised(net: Net, pixels: Tensor) -> Tensor:
    """Pixels as the network's first layer takes them."""
    return net.preprocess.normalise(pixels.to(net.device, net.graph.pixels.meta["val"].dtype))


def order_of(node: fx.Node, fields: Fields) -> list[int]:
    """How the axes of a map are turned to images, rows, columns, channels."""
    axes: Sequence[str] = fields[node].axes or MAP
    return [axes.index(name) for name in ("N", "H", "W", "C")]
