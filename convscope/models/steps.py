"""The operators that a net runs, folded: what a build streams through, and what an occluder's changes run along.

BatchNorm is folded into the convolution or linear layer before it, and a zero padding into the convolution after it,
where nobody asked for the value between them (rounding differs from `Net.outputs` by about 1e-6 relative, 1e-5 where
gains are large; neither is nearer to the exact value), and rectifiers and sums overwrite what they alone read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx

from convscope.models import functional
from convscope.models.convolution import Convolution, find_paddings, is_plain
from convscope.models.functional import NORM
from convscope.models.graph import VIEWS, operator_name
from convscope.models.net import Net
from convscope.models.rectifiers import argument

aten = torch.ops.aten
FRESH = frozenset(["conv2d", "linear", "add", "getitem", "cat", "max_pool2d", "avg_pool2d", "mul", "addmm"])
IN_PLACE = {plain: changing for changing, plain in functional.IN_PLACE.items()}  # may overwrite their first argument
DIFFERENTIABLE = {  # those that need nothing of what they overwrite for their gradient
    plain: IN_PLACE[plain] for plain in (aten.relu.default, aten.hardtanh.default, aten.add.Tensor)
}
PLAIN = functional.IN_PLACE
CHANGING = frozenset(PLAIN)


@dataclass(eq=False)
class Step:
    """One operator: what it reads, and which values it is the last to read."""

    node: fx.Node
    operator: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    done_with: tuple[fx.Node, ...] = ()


class Steps:
    """The operators of a net from the pixels to some nodes, in the order of computation."""

    def __init__(self, net: Net, asked: set[fx.Node], differentiable: bool = False) -> None:
        self.weights: dict[fx.Node, Tensor] = {node: net.weights[key] for node, key in net.graph.weights.items()}
        needed = net.graph.needed(asked)
        nodes = [node for node in net.graph.nodes if node in needed]
        folded, paddings = find_folds(nodes, asked), find_paddings(nodes, asked)
        norms = {norm_of(node) for node in nodes} - {None}
        done_elsewhere = {*norms, *folded.values(), *paddings.values()}
        self.all = [self.step(node, folded, paddings) for node in nodes if node not in done_elsewhere]
        plan_memory(self.all, DIFFERENTIABLE if differentiable else IN_PLACE)

    def step(self, node: fx.Node, folded: dict[fx.Node, fx.Node], paddings: dict[fx.Node, fx.Node]) -> Step:
        """The operator of a node; that of a folded BatchNorm's result is the convolution with other weights."""
        norm = norm_of(node)
        before = folded.get(norm, node) if norm is not None else node
        source, weight, bias = (argument(before, *place) for place in enumerate(("input", "weight", "bias")))
        if norm is not None and before is node:
            return self.alone(node, norm)
        if norm is not None:
            weight, bias = self.fold(before, norm)
        if is_plain(before):
            pad = paddings.get(before)
            known = self.constant(weight) if isinstance(weight, fx.Node) else weight
            if known is not None:  # oneDNN's own order is nearer to it, and it brings them there in every call
                weight = known.contiguous(memory_format=torch.channels_last)
            return Step(node, Convolution(before, pad), (pad.args[0] if pad else source, weight, bias), {})
        if before is not node:  # a linear layer
            return Step(node, operator_of(before), (source, weight, bias, *before.args[3:]), dict(before.kwargs))
        operator = torch.ops.aten.reshape.default if node.target in VIEWS else operator_of(node)
        return Step(node, operator, node.args, dict(node.kwargs))

    def alone(self, node: fx.Node, norm: fx.Node) -> Step:
        """A BatchNorm that is not folded, as one product and one sum, of maps with their channels last."""
        if not all(map(is_constant, norm.args[1:5])):
            return Step(node, normalise, norm.args, {})
        factor, shift = self.line(norm)
        source: Any = norm.args[0]
        shape = (-1, *[1] * (source.meta["val"].ndim - 2))
        kind = kind_of(source)
        return Step(node, scale, (source, factor.to(kind).view(shape), shift.to(kind).view(shape)), {})

    def line(self, norm: fx.Node) -> tuple[Tensor, Tensor]:
        """Factor and summand of each channel that a BatchNorm comes to, float64."""
        gain, shift, mean, variance = (self.constant(source) for source in norm.args[1:5])
        assert mean is not None
        assert variance is not None
        epsilon = float(norm.args[6])  # type: ignore[arg-type]
        factor = (variance.double() + epsilon).rsqrt() * (1 if gain is None else gain.double())
        return factor, (0 if shift is None else shift.double()) - mean.double() * factor

    def fold(self, before: fx.Node, norm: fx.Node) -> tuple[Tensor, Tensor]:
        """Weight and bias of a convolution or linear layer with the BatchNorm after it in them."""
        weight, bias = (self.constant(argument(before, place, key)) for place, key in ((1, "weight"), (2, "bias")))
        assert weight is not None
        factor, shift = self.line(norm)
        moved = shift if bias is None else bias.double() * factor + shift
        scaled = weight.double() * factor.view(-1, *[1] * (weight.ndim - 1))
        return scaled.to(weight.dtype), moved.to(weight.dtype)

    def constant(self, source: Any) -> Tensor | None:
        """The weight behind an argument."""
        return self.weights.get(source) if isinstance(source, fx.Node) else None


def norm_of(node: fx.Node) -> fx.Node | None:
    """The BatchNorm whose only result that is read is this one."""
    norm = node.args[0] if node.target is getitem and node.args[1] == 0 else None
    return norm if isinstance(norm, fx.Node) and norm.target is NORM and list(norm.users) == [node] else None


def scale(maps: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    """A BatchNorm of known statistics."""
    return torch.addcmul(shift, maps, factor)


def normalise(*arguments: Any) -> Tensor:
    """A BatchNorm of statistics that are computed, without these."""
    found: Tensor = NORM(*arguments)[0]
    return found


def operator_of(node: fx.Node) -> Callable[..., Any]:
    """What a node calls."""
    assert not isinstance(node.target, str)  # only calls of methods have their names
    return node.target


def find_folds(nodes: Sequence[fx.Node], asked: set[fx.Node]) -> dict[fx.Node, fx.Node]:
    """BatchNorm → the convolution or linear layer whose only reader it is, where nobody asked for the value between."""
    found = {}
    inside = set(nodes)
    for node in nodes:
        if node.target is not NORM or node in asked or not all(map(is_constant, node.args[1:5])):
            continue
        before = node.args[0]
        if not isinstance(before, fx.Node) or operator_name(before) not in ("conv2d", "linear") or before in asked:
            continue
        alone = [user for user in before.users if user in inside] == [node]
        known = all(map(is_constant, before.args[1:3])) and isinstance(before.args[1], fx.Node)
        on_units = operator_name(before) == "conv2d" or len(shape_of(before)) == 2  # a linear layer's are its last axis
        if alone and known and on_units and [norm_of(user) for user in node.users] == [node]:
            found[node] = before
    return found


def is_constant(source: Any) -> bool:
    """Whether an argument is a weight of the network, or none at all."""
    return source is None or (isinstance(source, fx.Node) and source.op == "placeholder")


def plan_memory(steps: Sequence[Step], in_place: Mapping[Any, Any]) -> None:
    """Frees every value after its last reader, and lets rectifiers and sums overwrite a value that they alone read."""
    last: dict[fx.Node, Step] = {}
    readers: dict[fx.Node, list[Step]] = {}
    for step in steps:
        for source in sources_of(step):
            last[source] = step
            readers.setdefault(source, []).append(step)
    made = {step.node: step for step in steps}
    for step in steps:
        step.done_with = tuple(node for node, reader in last.items() if reader is step and node in made)
        if step.node not in last:  # shown, and read by nobody
            step.done_with += (step.node,)
        first = step.arguments[0] if step.arguments else None
        if step.operator in in_place and isinstance(first, fx.Node) and first in made and readers[first] == [step]:
            fresh = operator_name(made[first].node) in FRESH and own_memory(made[first])
            same = (
                shape_of(first) == shape_of(step.node)
                and kind_of(first) == kind_of(step.node)
                and not any(argument is first for argument in step.arguments[1:])
            )
            if fresh and same:
                step.operator = in_place[step.operator]


def own_memory(step: Step) -> bool:
    """Whether a step's value shares no memory with another one: a getitem only where it stands for a convolution."""
    return step.node.target is not getitem or step.operator is not getitem


def sources_of(step: Step) -> list[fx.Node]:
    """The nodes that a step reads."""
    found: list[fx.Node] = []
    fx.node.map_arg((step.arguments, step.keywords), found.append)
    return list(dict.fromkeys(found))


def kind_of(node: fx.Node) -> torch.dtype:
    """The type of a node's numbers."""
    kind: torch.dtype = node.meta["val"].dtype
    return kind


def shape_of(node: fx.Node) -> tuple[Any, ...]:
    """A node's shape, the batch as a symbol."""
    return tuple(str(size) for size in node.meta["val"].shape)
