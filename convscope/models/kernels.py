"""The weights that make a layer: the filters of a convolution, the rows of a linear layer as maps of what they read."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, fx

from convscope.errors import BadAddress
from convscope.models.graph import VIEWS, operator_name
from convscope.models.layers import SMOOTH, Layer
from convscope.models.net import Net
from convscope.models.rectifiers import is_rectifier

CONVOLUTIONS = frozenset(["conv2d", "conv_transpose2d"])
LINEAR = frozenset(["linear", "matmul", "mm", "addmm"])
SAME = frozenset(
    ["dropout", "feature_dropout", "alpha_dropout", "native_dropout", "clone", "contiguous", "alias", "_to_copy", "to"]
)  # operators that change nothing in eval mode
NORMS = frozenset(["batch_norm", "group_norm", "native_group_norm", "instance_norm"])  # unit c stays unit c
SCALED = frozenset(["add", "sub", "mul", "div"])  # by a constant
RESHAPED = frozenset(["flatten", "reshape", *(view.overloadpacket.__name__ for view in VIEWS)])


@dataclass(frozen=True, eq=False)
class Kernels:
    """The filters of one convolution or linear layer, on the CPU."""

    layer: str  # the convolution or linear layer itself
    weights: Float[Tensor, "filters channels height width"]  # channels: those of one group
    kind: Literal["conv2d", "linear"]
    first: bool  # whether the three channels that it reads are the image's red, green and blue
    groups: int = 1
    transposed: bool = False


def weighted_layers(net: Net) -> tuple[str, ...]:
    """The names of all layers that have filters, in the order of computation."""
    return tuple(layer.name for layer in net.layers if layer.alias_of is None and has_weights(net, layer.node))


def find_kernels(net: Net, name: str) -> Kernels:
    """The filters of a layer, or of the layer that feeds it through BatchNorm, activation or dropout.

    The weights are as they were trained: BatchNorm is not folded in. Those of a linear layer that reads a flattened
    map come as maps. Raises UnknownLayer, and BadAddress where no filters make the layer.
    """
    layer = net.layer(name)
    node: fx.Node | None = layer.node
    while node is not None and not has_weights(net, node):
        node = fed_by(net, node)
    if node is None:
        raise no_filters(net, layer)
    owner = next(one.name for one in net.layers if one.node is node)
    weights = constant_value(net, weight_of(node)).detach().float().cpu()
    if operator_name(node) not in CONVOLUTIONS:
        return Kernels(owner, as_maps(net, node, weights), "linear", False)
    groups = groups_of(node)
    transposed = operator_name(node) == "conv_transpose2d"
    if transposed:
        inputs, outputs, *size = weights.shape
        split = weights.reshape(groups, inputs // groups, outputs, *size).transpose(1, 2)
        weights = split.reshape(groups * outputs, inputs // groups, *size)
    return Kernels(owner, weights.clone(), "conv2d", reads_colours(net, node), groups, transposed)


def has_weights(net: Net, node: fx.Node) -> bool:
    """Whether a node is a layer that multiplies what comes from the image with weights that do not."""
    name = operator_name(node)
    if name not in CONVOLUTIONS | LINEAR or not any(layer.node is node for layer in net.layers):
        return False
    weight = weight_of(node)
    if not isinstance(weight, fx.Node) or weight in net.graph.from_pixels:
        return False
    return len(weight.meta["val"].shape) == (4 if name in CONVOLUTIONS else 2)


def weight_of(node: fx.Node) -> fx.Node:
    """The argument that holds the weights."""
    place = 2 if operator_name(node) == "addmm" else 1
    return node.args[place] if len(node.args) > place else node.kwargs["weight"]  # type: ignore[return-value]


def groups_of(node: fx.Node) -> int:
    """Into how many groups a convolution splits its channels."""
    place = next(i for i, a in enumerate(node.target._schema.arguments) if a.name == "groups")  # type: ignore[union-attr]
    return int(node.args[place]) if len(node.args) > place else int(node.kwargs.get("groups", 1))  # type: ignore[arg-type]


def constant_value(net: Net, node: fx.Node) -> Tensor:
    """The value of a node that does not depend on the image: a parameter, or what is computed from parameters."""
    program, names = net.graph.program((node,))
    with torch.no_grad():
        (value,) = program(torch.empty(0), *(net.weights[name] for name in names))
    return value  # type: ignore[no-any-return]


def fed_by(net: Net, node: fx.Node) -> fx.Node | None:
    """What an operator that keeps units and places as they are was given; None for any other operator."""
    sources = [source for source in node.all_input_nodes if source in net.graph.from_pixels]
    name = operator_name(node)
    keeps = is_rectifier(node) or name in SMOOTH | SAME | NORMS | {"getitem"}
    if not sources or not (keeps or (name in SCALED and len(sources) == 1)):
        return None
    return None if sources[0] is net.graph.pixels else sources[0]


def as_maps(net: Net, node: fx.Node, weights: Tensor) -> Float[Tensor, "filters channels height width"]:
    """A linear layer's weights as maps of the layer that it reads flattened; 1×1 where it reads a vector."""
    if operator_name(node) != "linear":
        weights = weights.T  # x @ W
    rows = weights.contiguous()
    layers = {layer.node: layer for layer in net.layers}
    source: fx.Node | None = next(one for one in node.all_input_nodes if one in net.graph.from_pixels)
    while source is not None and not (source in layers and layers[source].spatial):
        source = source.all_input_nodes[0] if operator_name(source) in RESHAPED else fed_by(net, source)
    if source is None or math.prod(layers[source].shape) != rows.shape[1]:
        return rows[:, :, None, None].clone()
    axes = layers[source].view.axes or ("N", "C", "H", "W")
    sizes = dict(zip("CHW", layers[source].shape, strict=True))
    flattened = [axis for axis in axes if axis != "N"]
    maps = rows.reshape(len(rows), *(sizes[axis] for axis in flattened))
    return maps.permute(0, *(1 + flattened.index(axis) for axis in "CHW")).contiguous().clone()


def reads_colours(net: Net, node: fx.Node) -> bool:
    """Whether a convolution's three channels are the image's own: each rises with one colour, in their order.

    Asked of the values, so that a network may normalise its input in any spelling.
    """
    source = node.all_input_nodes[0]
    if source is net.graph.pixels or groups_of(node) != 1:
        return source is net.graph.pixels and groups_of(node) == 1
    shape = source.meta["val"].shape
    if len(shape) != 4 or shape[1] != 3 or any(has_weights(net, one) for one in leading_to(net, source)):
        return False
    pixels = torch.full((1, 3, *net.size), 0.5, device=net.device, requires_grad=True)
    with torch.enable_grad():
        (value,) = net.values(pixels, (source,))
        if not value.requires_grad:
            return False
        slopes = [torch.autograd.grad(value[:, c].sum(), pixels, retain_graph=True)[0].sum((0, 2, 3)) for c in range(3)]
    table = torch.stack(slopes)
    return bool((table.diagonal() > 0).all()) and torch.count_nonzero(table).item() == 3


def leading_to(net: Net, node: fx.Node) -> set[fx.Node]:
    """A node and all that its value is computed from."""
    needed = {node}
    for one in reversed(net.graph.nodes):
        if one in needed:
            needed.update(one.all_input_nodes)
    return needed


def no_filters(net: Net, layer: Layer) -> BadAddress:
    """The error for a layer that no filters make, with the nearest ones that have some."""
    weighted = weighted_layers(net)
    order = [one.name for one in net.layers]
    place = order.index(layer.name)
    near = [name for name in weighted if order.index(name) < place][-1:]
    near += [name for name in weighted if order.index(name) > place][:1]
    hint = f"filters have {' and '.join(near)}, beside it" if near else "no layer of this network has filters"
    return BadAddress(f"no filters make {layer.name}: it is of the kind {layer.kind}", hint)
