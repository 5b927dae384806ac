"""Which operators can run on windows of their inputs, and how: the rule of each step, or none.

A step without a rule, and all that reads it, runs on whole maps: slower, never wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from operator import getitem
from typing import Any, Literal

import torch
from torch import Tensor, fx

from convscope.models.convolution import Convolution, around, is_zero_padding
from convscope.models.graph import operator_name
from convscope.models.receptive import Field
from convscope.models.rules.call import Call, shape_of
from convscope.models.rules.pointwise import POINTWISE
from convscope.models.steps import Step, scale

Kind = Literal["pointwise", "slide", "reshape", "cat", "mean"]
MAP = ("N", "C", "H", "W")
TURNS = frozenset(["permute", "transpose"])
WHOLE_AXIS = frozenset(["softmax", "_softmax", "log_softmax", "_log_softmax", "slice", "select", "split", "chunk", "split_with_sizes"])


@dataclass(frozen=True)
class Slide:
    """A window that slides along an axis: cell o reads `kernel` cells, from o·stride − before on."""

    kernel: int  # dilation counted in
    stride: int
    before: int

    def read(self, cells: int) -> int:
        """How many cells so many cells next to each other read."""
        return (cells - 1) * self.stride + self.kernel


@dataclass(frozen=True, eq=False)
class Rule:
    """How a step runs on windows."""

    kind: Kind
    sources: tuple[fx.Node, ...]  # what it reads as windows
    slides: tuple[Slide, Slide] | None = None  # rows and columns, of "slide"
    outside: float = 0.0  # what stands around the map
    run: Callable[..., Any] | None = None  # in place of the step's operator


Fields = Mapping[fx.Node, Field]


def field_of(node: fx.Node, fields: Fields) -> Field | None:
    """A tensor's field; of a tuple that of its first part that is read."""
    if node in fields:
        return fields[node]
    return next((fields[user] for user in node.users if user.target is getitem and user in fields), None)


def has_rows(field: Field | None) -> bool:
    """Whether rows and columns are axes of their own."""
    return field is not None and field.axes is not None and field.axes.count("H") == field.axes.count("W") == 1


def find_rule(step: Step, fields: Fields, changing: frozenset[fx.Node]) -> Rule | None:
    """The rule of a step; None where it cannot run on windows. changing: what depends on the image."""
    out = field_of(step.node, fields)
    named: list[fx.Node] = []
    fx.node.map_arg((step.arguments, step.keywords), named.append)
    sources = tuple(dict.fromkeys(node for node in named if node in changing and is_tensor(node)))
    if not sources or not all(has_rows(field_of(source, fields)) for source in sources):
        return None
    name = operator_name(step.node) if step.node.target is not getitem else "getitem"
    if isinstance(step.operator, Convolution):
        maps = fields[sources[0]].axes == MAP and out is not None and out.axes == MAP
        return sliding_convolution(step.operator, step, sources) if maps else None
    if (name in ("mean", "sum") or name.endswith("adaptive_avg_pool2d")) and is_global(step, fields[sources[0]], out):
        return Rule("mean", sources)
    if out is None or not has_rows(out):
        return None
    if name in ("max_pool2d", "avg_pool2d", "max_pool2d_with_indices"):
        return sliding_pool(step, sources, fields)
    if is_zero_padding(step.node) and step.node not in sources:
        top, left = (side[0] for side in around(step.node))
        return Rule("slide", sources, (Slide(1, 1, top), Slide(1, 1, left)), run=lambda maps, *_, **__: maps)
    if name in ("view", "_unsafe_view", "reshape") and keeps_rows(fields[sources[0]], out):
        return Rule("reshape", sources)
    if name in ("cat", "concat") and out.axes is not None:
        axis = Call(step.node, {})["dim"]
        along = out.axes[axis] == "C" and all(fields[source].axes == out.axes for source in sources)
        return Rule("cat", sources) if along and len(sources) == len(step.arguments[0]) else None
    return Rule("pointwise", sources) if is_pointwise(step, name, sources, fields, out) else None


def is_tensor(node: fx.Node) -> bool:
    """Whether a node's value is a tensor, or several."""
    return isinstance(node.meta.get("val"), Tensor | tuple | list)


def sliding_convolution(operator: Convolution, step: Step, sources: Sequence[fx.Node]) -> Rule | None:
    """A convolution, with its own zeros and those of a padding before it."""
    if len(sources) != 1 or sources[0] is not step.arguments[0]:
        return None  # weights that are made from the image
    kernel = step.arguments[1].shape[2:] if isinstance(step.arguments[1], Tensor) else step.arguments[1].meta["val"].shape[2:]
    rows, columns = (
        Slide(spread * (cells - 1) + 1, stride, side[0])
        for cells, spread, stride, side in zip(kernel, operator.dilation, operator.stride, operator.sides, strict=True)
    )
    plain = lambda maps, weight, bias: operator.convolve(maps, weight, bias, (0, 0))  # noqa: E731
    return Rule("slide", tuple(sources), (rows, columns), run=plain)


def sliding_pool(step: Step, sources: Sequence[fx.Node], fields: Fields) -> Rule | None:
    """A pool over windows; an average whose number of cells varies along the edges has no rule."""
    call = Call(step.node, {})
    kernel, padding = call.pair("kernel_size"), call.pair("padding")
    stride = call.pair("stride") if call["stride"] else kernel
    source = fields[sources[0]]
    if source.axes != MAP:
        return None
    if "avg" in operator_name(step.node):
        sizes = zip(source.shape[2:], call.shape[2:], kernel, stride, padding, strict=True)
        over = any((out - 1) * s + k > size + 2 * p for size, out, k, s, p in sizes)
        if over or (any(padding) and not call["count_include_pad"]):
            return None
        divisor = call["divisor_override"]
        slides = [Slide(k, s, p) for k, s, p in zip(kernel, stride, padding, strict=True)]
        run = lambda maps, *_, **__: torch.nn.functional.avg_pool2d(maps, kernel, stride, 0, divisor_override=divisor)  # noqa: E731
        return Rule("slide", tuple(sources), (slides[0], slides[1]), run=run)
    dilation = call.pair("dilation")
    slides = [Slide(d * (k - 1) + 1, s, p) for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True)]

    def pool(maps: Tensor, *_: Any, **__: Any) -> Any:
        found = torch.max_pool2d(maps, kernel, stride, 0, dilation)
        return found if isinstance(step.node.meta["val"], Tensor) else (found, None)

    if not isinstance(step.node.meta["val"], Tensor) and any(
        user.target is not getitem or user.args[1] != 0 for user in step.node.users
    ):
        return None  # somebody reads where the maxima are
    return Rule("slide", tuple(sources), (slides[0], slides[1]), -float("inf"), pool)


def is_global(step: Step, source: Field, out: Field | None) -> bool:
    """Whether a step is the mean or the sum over all rows and columns, and over nothing else."""
    call = Call(step.node, {})
    if call.arguments.get("dtype") is not None or source.axes is None:
        return False
    if "output_size" in call.arguments:
        return source.axes == MAP and prod(call["output_size"]) == 1
    dims = call.arguments.get("dim") or range(len(source.shape))
    return {source.axes[axis] for axis in dims} == {"H", "W"}


def keeps_rows(source: Field, out: Field) -> bool:
    """Whether a change of shape leaves rows and columns alone, as the last axes of both."""
    return bool(source.axes and out.axes and source.axes[-2:] == out.axes[-2:] == ("H", "W") and source.shape[-2:] == out.shape[-2:] and source.axes[0] == out.axes[0] == "N" and source.shape[0] == out.shape[0] == 1)


def is_pointwise(step: Step, name: str, sources: Sequence[fx.Node], fields: Fields, out: Field) -> bool:
    """Whether every row and column of the result is made from that row and column of the inputs alone."""
    ins = [field for source in sources if (field := field_of(source, fields)) is not None]
    axes, call = out.axes, Call(step.node, {})
    assert axes is not None
    if step.operator is scale or name == "prelu":  # their weights belong to the second axis
        return axes[1] == "C" and len(sources) == 1
    if name in POINTWISE or name == "getitem":
        alike = name == "getitem" or all(field.axes == axes and same_places(field, out) for field in ins)
        return alike and constants_fit(step, sources, axes)
    if name in TURNS:
        return True
    field = ins[0]
    if len(ins) != 1 or field.axes is None:
        return False
    if name in WHOLE_AXIS:
        return field.axes[call["dim"] or 0] == "C" and (name == "select" or field.axes == axes)
    if name == "linear":
        return field.axes[-1] == "C" and axes == field.axes
    if name in ("layer_norm", "rms_norm"):
        return len(call["normalized_shape"]) == 1 and field.axes[-1] == "C"
    if name in ("mean", "sum", "linalg_vector_norm", "amax", "amin") and call.arguments.get("dim") is not None:
        dims = call["dim"] if isinstance(call["dim"], list | tuple) else [call["dim"]]
        return all(field.axes[axis] not in ("H", "W", "N") for axis in dims)
    if name in ("unsqueeze", "squeeze"):
        return True
    if name in ("pad", "constant_pad_nd"):
        amounts = call["pad"]
        turned = [field.axes[-1 - place] for place in range(len(amounts) // 2) if any(amounts[2 * place : 2 * place + 2])]
        return not {"H", "W", "N"} & set(turned)
    if name == "avg_pool3d":
        flat = lambda option, least: all(size == least for size in call.pair(option, 3)[1:])  # noqa: E731
        steps = not call["stride"] or flat("stride", 1)
        return field.axes[-2:] == ("H", "W") and flat("kernel_size", 1) and flat("padding", 0) and steps
    return False


def same_places(one: Field, other: Field) -> bool:
    """Whether two maps have the same number of rows and of columns."""
    return all(
        size == length
        for size, length, axis in zip(one.shape, other.shape, other.axes or (), strict=True)
        if axis in ("H", "W")
    )


def constants_fit(step: Step, sources: Sequence[fx.Node], axes: tuple[str, ...]) -> bool:
    """Whether all else that a step reads is the same at every row and column."""
    found: list[fx.Node] = []
    fx.node.map_arg((step.arguments, step.keywords), found.append)
    for node in found:
        value = node.meta.get("val")
        if node in sources or not isinstance(value, Tensor):
            continue
        shape = shape_of(value)
        lifted = (1,) * (len(axes) - len(shape)) + shape
        if any(size != 1 for size, axis in zip(lifted, axes, strict=True) if axis in ("H", "W")):
            return False
    return True
