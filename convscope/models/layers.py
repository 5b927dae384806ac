"""Layers: the nodes of the graph that are maps (N×C×H×W) or vectors (N×C), with names that people type."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import getitem
from typing import Literal

from torch import Tensor, fx

from convscope.arrays import Box, Place
from convscope.errors import UnsuitableNet
from convscope.models.graph import Graph, module_calls, operator_name
from convscope.models.receptive import Field, Interval
from convscope.models.rectifiers import ceiling, is_rectifier

MAP = ("N", "C", "H", "W")
VECTOR = ("N", "C")
PARTS = frozenset(
    [
        "slice",
        "select",
        "narrow",
        "split",
        "split_with_sizes",
        "chunk",
        "unbind",
        "tensor_split",
        "index",
        "index_select",
    ]
)
SMOOTH = frozenset(
    [
        "gelu",
        "silu",
        "mish",
        "elu",
        "selu",
        "celu",
        "hardswish",
        "softplus",
        "tanh",
        "softsign",
        "log_sigmoid",
        "hardtanh",
        "threshold",
    ]
)


@dataclass(frozen=True)
class Receptive:
    """What one cell of a layer can see, in pixels of the net's input; pairs are (rows, columns).

    `size`, `stride` and `offset` hold on an endless image: cell (0, 0) sees from `offset` to `offset + size`.
    They are None where the field is not regular. The exact boxes come from `Net.receptive_box`.
    """

    status: Literal["exact", "whole image"]
    size: tuple[int, int] | None = None
    stride: tuple[float, float] | None = None
    offset: tuple[float, float] | None = None

    @property
    def centre(self) -> tuple[float, float] | None:
        """The centre of cell (0, 0), in pixels where the first pixel's own centre is 0."""
        if self.size is None or self.offset is None:
            return None
        return self.offset[0] + (self.size[0] - 1) / 2, self.offset[1] + (self.size[1] - 1) / 2


@dataclass(frozen=True)
class Layer:
    """A named node of the network's graph."""

    name: str
    kind: str  # the operator: conv2d, relu, relu6, max_pool2d, add, cat, linear, …
    shape: tuple[int, ...]  # (C, H, W) of a map, (C,) of a vector
    rectified: bool  # whether it is the output of a ReLU in any spelling
    receptive: Receptive
    alias_of: str | None = None  # the layer's first name, where this is another name of the same value
    node: fx.Node = field(repr=False, compare=False, kw_only=True)
    view: Field = field(repr=False, compare=False, kw_only=True)  # what each of its cells sees

    @property
    def units(self) -> int:
        """How many units (channels) it has."""
        return self.shape[0]

    @property
    def spatial(self) -> bool:
        """Whether it is a map with rows and columns."""
        return len(self.shape) == 3

    def input_box(self, unit: int | None = None, place: Place | None = None) -> Box:
        """All that a unit can see at a place, px of the net's input; None means any. Without area: nothing."""
        index = {"C": unit, "H": place.row if place else None, "W": place.column if place else None}

        def ends(interval: Interval) -> tuple[int, int]:
            first, stop = interval.first, interval.stop
            for axis, name in enumerate(self.view.axes or VECTOR):
                chosen = index.get(name)
                if chosen is not None and first.shape[axis] > 1:
                    first, stop = first.take([chosen], axis), stop.take([chosen], axis)
            return int(first.min()), int(stop.max())

        (top, bottom), (left, right) = ends(self.view.rows), ends(self.view.columns)
        return Box(top, left, bottom, right) if bottom > top and right > left else Box(0, 0, 0, 0)

    def ordered(self, value: Tensor) -> Tensor:
        """The node's value as N×C×H×W or N×C."""
        axes = self.view.axes
        if axes is None or not self.spatial or axes == MAP:
            return value
        return value.permute([axes.index(name) for name in MAP])


def find_layers(graph: Graph, fields: Mapping[fx.Node, Field], size: tuple[int, int]) -> tuple[Layer, ...]:
    """All layers in the order of computation; a value's further names follow its first one as aliases.

    UnsuitableNet where the scores are none of them: they mix images, or their second axis is one of the image's own.
    """
    names = name_values(graph)
    layers = []
    for node in graph.nodes:
        view = fields.get(node)
        shape = layer_shape(node, view)
        if view is None or shape is None:
            continue
        receptive = derive(view, size)
        kind = kind_of(node)
        for position, name in enumerate(names[node]):
            first = names[node][0] if position else None
            layers.append(Layer(name, kind, shape, is_rectifier(node), receptive, first, node=node, view=view))
    if not any(layer.node is graph.scores for layer in layers):
        raise UnsuitableNet(
            "the scores are not one vector of classes for each image", "each row of them is to be made from one image"
        )
    return tuple(layers)


def kind_of(node: fx.Node) -> str:
    """The operator by the name that people know it by."""
    if node.target is getitem:
        return "batch_norm"
    return "relu6" if operator_name(node) == "hardtanh" and ceiling(node) == 6 else operator_name(node)


def layer_shape(node: fx.Node, view: Field | None) -> tuple[int, ...] | None:
    """(C, H, W) or (C,) of a node that is a layer, else None."""
    value = node.meta.get("val")
    if view is None or not isinstance(value, Tensor) or not value.is_floating_point():
        return None
    source = node.args[0] if node.target is getitem else node
    if not isinstance(source, fx.Node) or operator_name(source) in PARTS:
        return None
    if view.shape[:1] != (1,) or 0 in view.shape or (view.rows.empty and view.columns.empty):
        return None  # the first axis is not the batch, or nothing of the image is in it
    if len(view.shape) == 2 and view.axes in (None, VECTOR):
        return (view.shape[1],)
    if len(view.shape) == 4 and view.axes is not None and set(view.axes) == set(MAP):
        return tuple(view.shape[view.axes.index(name)] for name in "CHW")
    return None


def name_values(graph: Graph) -> dict[fx.Node, list[str]]:
    """The names of every node, the outermost module first; a node that is no module's value is named by its op."""
    names: dict[fx.Node, list[str]] = {node: [] for node in graph.nodes}
    for (path, number), nodes in sorted(graph.calls.items(), key=lambda item: item[0][0].count(".")):
        value = value_of(graph, nodes)
        if path and value is not None:
            names[value].append(path if number == 1 else f"{path}#{number}")
    counts: Counter[tuple[str, str]] = Counter()
    for node in graph.nodes:
        path, number = (module_calls(node) or [("", 1)])[-1]
        owner = path if number == 1 else f"{path}#{number}"
        kind = operator_name(node)
        if not names[node]:
            counts[owner, kind] += 1
            names[node].append(f"{owner}/{kind}#{counts[owner, kind]}")
    return names


def value_of(graph: Graph, nodes: Sequence[fx.Node]) -> fx.Node | None:
    """The one value that leaves a module's call; None where it returns several (or none) of them."""
    inner = set(nodes)
    leaving = [
        node
        for node in nodes
        if isinstance(node.meta.get("val"), Tensor)
        and node in graph.from_pixels
        and (node is graph.scores or any(user not in inner for user in node.users))
    ]
    return leaving[0] if len(leaving) == 1 else None


def derive(view: Field, size: tuple[int, int]) -> Receptive:
    """Size, stride and offset for display, from the exact intervals."""
    rows, columns = view.rows.reach, view.columns.reach
    if sees_all(view.rows, size[0]) and sees_all(view.columns, size[1]) and None in (rows, columns):
        return Receptive("whole image")
    if rows is None or columns is None:
        extents = [int((i.stop - i.first).max()) for i in (view.rows, view.columns)]
        return Receptive("exact", (extents[0], extents[1]))
    return Receptive(
        "exact",
        (int(rows.last - rows.first) + 1, int(columns.last - columns.first) + 1),
        (float(rows.stride), float(columns.stride)),
        (float(rows.first), float(columns.first)),
    )


def sees_all(interval: Interval, size: int) -> bool:
    """Whether every element sees the whole of an axis."""
    return bool((interval.first <= 0).all() and (interval.stop >= size).all())


def watched_layers(layers: Sequence[Layer], scores: fx.Node) -> tuple[str, ...]:
    """The layers whose units a build follows: rectified or smooth activations, and the output.

    Networks without any activation are followed at their convolutions and linear layers.
    """
    firsts = [layer for layer in layers if layer.alias_of is None]
    active = [layer for layer in firsts if layer.rectified or layer.kind in SMOOTH]
    active = active or [layer for layer in firsts if layer.kind in ("conv2d", "linear", "conv_transpose2d")]
    output = [layer for layer in firsts if layer.node is scores and layer not in active]
    return tuple(layer.name for layer in active + output)


def stage_ends(graph: Graph, layers: Sequence[Layer]) -> tuple[str, ...]:
    """One layer per stage: the last one of each map size through which everything flows, activations first."""
    order = {node: position for position, node in enumerate((graph.pixels, *graph.nodes))}
    flow = [node for node in (graph.pixels, *graph.nodes) if node in graph.from_pixels and holds_tensors(node)]
    farthest, necks = 0, set()
    for node in flow:
        if farthest <= order[node]:
            necks.add(node)
        farthest = max([farthest, *(order[user] for user in node.users if user in order and holds_tensors(user))])
    best: dict[tuple[int, ...], Layer] = {}
    for layer in layers:
        if layer.alias_of or not layer.spatial or layer.node not in necks or min(layer.shape[1:]) == 1:
            continue
        if layer.kind in ("pad", "adaptive_avg_pool2d"):
            continue
        kept = best.get(layer.shape[1:])
        meets = layer.rectified or layer.kind in SMOOTH or layer.kind in ("add", "cat")
        if kept is None or meets or not (kept.rectified or kept.kind in SMOOTH or kept.kind in ("add", "cat")):
            best[layer.shape[1:]] = layer
    return tuple(layer.name for layer in best.values())


def holds_tensors(node: fx.Node) -> bool:
    """Whether a node's value is a tensor or several, not a number such as the batch size."""
    return isinstance(node.meta.get("val"), Tensor | tuple | list)


def code_layer(graph: Graph, layers: Sequence[Layer]) -> Layer:
    """The layer that enters the classifier: what the last linear (or convolution) on the way to the scores reads."""
    firsts = {layer.node: layer for layer in layers if layer.alias_of is None}
    node: fx.Node | None = graph.scores
    while node is not None and operator_name(node) not in ("linear", "addmm", "mm", "matmul", "conv2d"):
        node = source_of(graph, node)
    node = source_of(graph, graph.scores if node is None else node)
    while node is not None and node not in firsts:
        node = source_of(graph, node)
    if node is None:
        return firsts[graph.scores]
    pooled = firsts.get(source_of(graph, node) or node)
    if "/" in firsts[node].name and pooled is not None and pooled.shape == (firsts[node].units, 1, 1):
        return pooled  # avgpool is a better name than that of the flattening after it
    return firsts[node]


def source_of(graph: Graph, node: fx.Node) -> fx.Node | None:
    """The first thing that a node reads which depends on the image, the image itself left out."""
    inner = (source for source in node.all_input_nodes if source in graph.from_pixels and source is not graph.pixels)
    return next(inner, None)
