"""The exporter's graph made functional by rewriting it, where that is simple.

torch's own way traces the whole graph once more with symbolic sizes, which takes two thirds of the time of opening a
network. Most networks need little of it: rectifiers and sums in place, BatchNorm with its statistics, dropout that does
nothing, one flattening. Where there is anything else, `rewrite` changes nothing and says so.
"""

from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload

aten = torch.ops.aten
IN_PLACE: dict[Any, OpOverload] = {
    aten.relu_.default: aten.relu.default,
    aten.hardtanh_.default: aten.hardtanh.default,
    aten.hardswish_.default: aten.hardswish.default,
    aten.silu_.default: aten.silu.default,
    aten.add_.Tensor: aten.add.Tensor,
    aten.mul_.Tensor: aten.mul.Tensor,
}
SAME = (aten.dropout.default, aten.dropout_.default)  # in eval mode
COMPOSITE = (  # made of others, and kept whole
    aten.conv2d.default,
    aten.linear.default,
    aten.max_pool2d.default,
    aten.adaptive_avg_pool2d.default,
    aten.layer_norm.default,
    aten.pad.default,
    aten.upsample_nearest2d.vec,
    aten.upsample_bilinear2d.vec,
)
NORM = aten._native_batch_norm_legit_no_training.default


def rewrite(graph: fx.Graph, pixels: fx.Node) -> bool:
    """Whether the graph is functional now; if not, it is as it was.

    pixels: the input, whose first axis is the batch.
    """
    nodes = [node for node in graph.nodes if node.op == "call_function"]
    images = pixels.meta["val"].shape[0]
    if not all(is_simple(node, images) for node in nodes) or not are_changes_safe(nodes):
        return False
    now: dict[fx.Node, fx.Node] = {}  # node → what its readers are to read from here on

    def current(node: fx.Node) -> fx.Node:
        while node in now:
            node = now[node]
        return node

    batch = first = None
    for node in list(graph.nodes):
        node.args, node.kwargs = fx.node.map_arg((node.args, node.kwargs), current)
        if node.target in IN_PLACE:
            node.target = IN_PLACE[node.target]
            now[node.args[0]] = node
        elif node.target in SAME or (node.target == aten.flatten.using_ints and same_shape(node)):
            now[node] = node.args[0]
        elif node.target == aten.batch_norm.default:
            source, weight, bias, mean, variance, _, momentum, epsilon, _ = node.args
            with graph.inserting_after(node):
                result = graph.call_function(getitem, (node, 0))
            result.meta = dict(node.meta)
            node.target, node.args = NORM, (source, weight, bias, mean, variance, momentum, epsilon)
            node.meta["val"] = (result.meta["val"],)
            now[node] = result
        elif node.target == aten.flatten.using_ints:
            if batch is None:
                first = first or next(one for one in graph.nodes if one.op != "placeholder")
                with graph.inserting_before(first):
                    batch = graph.call_function(aten.sym_size.int, (pixels, 0))
                batch.meta = {"val": images}
            node.target, node.args = aten.view.default, (node.args[0], [batch, *node.meta["val"].shape[1:]])
    for node in nodes:
        if node in now and not node.users:
            graph.erase_node(node)
    return True


def is_simple(node: fx.Node, images: Any) -> bool:
    """Whether a node is functional already, or of a kind that is rewritten; images: the symbol of their number."""
    target = node.target
    if target is getitem or target in COMPOSITE or target in IN_PLACE:
        return True
    if target in SAME:
        return node.args[2] is False
    if target == aten.batch_norm.default:  # from its own statistics, not from those of the batch
        return len(node.args) == 9 and node.args[5] is False and all(isinstance(one, fx.Node) for one in node.args[3:5])
    if target == aten.flatten.using_ints:
        shape = node.meta["val"].shape
        start = node.args[1] if len(node.args) > 1 else 0
        known = isinstance(start, int) and start >= 1 and all(isinstance(size, int) for size in shape[1:])
        return known and isinstance(shape[0], torch.SymInt) and bool(shape[0].node.expr == images.node.expr)
    if not isinstance(target, OpOverload) or target._schema.is_mutable:
        return False
    return not target.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd)


def are_changes_safe(nodes: list[fx.Node]) -> bool:
    """Whether every value that is changed in place is nobody else's memory."""
    order = {node: place for place, node in enumerate(nodes)}
    for node in nodes:
        if node.target not in IN_PLACE and node.target is not SAME[1]:
            continue
        kept, changed = node.meta["val"], node.args[0]
        parts = [one for one in node.all_input_nodes if isinstance(one.meta["val"], Tensor)]
        if any(part.meta["val"].dtype != kept.dtype for part in parts) or any(one is changed for one in node.args[1:]):
            return False  # without in-place the result would be of another type
        while True:  # back to where the memory was made; all that reads it until then must not share it
            if not isinstance(changed, fx.Node) or changed.op != "call_function":
                return False  # a weight, or the pixels
            for reader in changed.users:
                if order.get(reader, len(nodes)) < order[node] and shares(reader) and not is_chain(reader, changed):
                    return False
            if not is_chain(changed, changed.args[0]):
                break
            changed = changed.args[0]
        if shares(changed):
            return False
    return True


def is_chain(node: fx.Node, source: Any) -> bool:
    """Whether a node's value is its first argument, changed or not."""
    return (node.target in IN_PLACE or node.target in SAME) and node.args[0] is source


def shares(node: fx.Node) -> bool:
    """Whether a node's value may share the memory of what it reads."""
    if node.target in COMPOSITE or node.target == aten.batch_norm.default:
        return False
    if not isinstance(node.target, OpOverload) or node.target in SAME or node.target == aten.flatten.using_ints:
        return True
    return any(returned.alias_info is not None for returned in node.target._schema.returns)


def same_shape(node: fx.Node) -> bool:
    """Whether flattening changes nothing."""
    source: Any = node.args[0]
    return len(source.meta["val"].shape) == len(node.meta["val"].shape)
