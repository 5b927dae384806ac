"""Receptive fields of the whole graph: what every tensor can see, operator by operator.

An operator without a rule sees, as far as we know, the whole of what its inputs see; that is never too small.
"""

from collections.abc import Mapping
from operator import getitem
from typing import Any

import numpy as np
from torch import Tensor, fx

from convscope.models.graph import Graph, operator_name
from convscope.models.receptive import Field, Interval, constant_field, image_field
from convscope.models.rules import RULES
from convscope.models.rules.call import Call, joint_axes, shape_of


def propagate(graph: Graph, size: tuple[int, int]) -> dict[fx.Node, Field]:
    """The field of every tensor of the graph that depends on the image, for inputs of that height and width."""
    known: dict[fx.Node, Any] = {graph.pixels: image_field(*size)}
    for node in graph.weights:
        known[node] = constant_field(shape_of(node.meta["val"])) if isinstance(node.meta["val"], Tensor) else None
    for node in graph.nodes:
        value = node.meta.get("val")
        if node.target is getitem:
            source = known[node.all_input_nodes[0]]
            position: Any = node.args[1]
            known[node] = source[position] if isinstance(source, list) else None
        elif not isinstance(value, Tensor | list | tuple):
            known[node] = None  # a number, such as the batch size
        elif node not in graph.from_pixels:
            known[node] = (
                [constant_field(shape_of(v)) for v in value]
                if not isinstance(value, Tensor)
                else constant_field(shape_of(value))
            )
        else:
            known[node] = settle(node, known, value)
    return {node: field for node, field in known.items() if isinstance(field, Field) and node in graph.from_pixels}


def settle(node: fx.Node, known: Mapping[fx.Node, Any], value: Any) -> Field | list[Field]:
    """The rule's answer where there is one that fits, else the whole of what the inputs see."""
    call = Call(node, known)
    name = operator_name(node)
    found = RULES[name](call) if name in RULES else None
    parts = found if isinstance(found, list) else [found]
    mixed = any(part is not None and part.mixes_batch for part in parts)
    if found is None or mixed or (isinstance(found, Field) and found.shape != call.shape):
        return everything(call) if isinstance(value, Tensor) else [everything(call)] * len(value)
    return found.compact() if isinstance(found, Field) else [field.compact() for field in found]


def everything(call: Call) -> Field:
    """Every element sees all that any input sees."""
    fields = call.fields
    if not fields:  # it depends on how many images there are, not on what they show
        return constant_field(call.shape)
    ones = [1] * len(call.shape)

    def union(intervals: list[Interval]) -> Interval:
        first = min(int(interval.first.min()) for interval in intervals)
        stop = max(int(interval.stop.max()) for interval in intervals)
        return Interval(np.full(ones, first, np.int32), np.full(ones, stop, np.int32))

    axes = joint_axes(fields, len(ones))
    return Field(call.shape, union([f.rows for f in fields]), union([f.columns for f in fields]), axes)
