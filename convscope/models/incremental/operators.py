"""The rules of operators on windows: what each reads around them, or that it reads nothing around them."""

from math import prod
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx

from convscope.models.convolution import Convolution, around, is_zero_padding
from convscope.models.incremental.local import MAP, Asked, Rule, Slide, local, pointwise, sliding
from convscope.models.receptive import Field
from convscope.models.rules.call import shape_of
from convscope.models.rules.pointwise import POINTWISE
from convscope.models.steps import normalise, scale, sources_of


@local(Convolution)
def convolution(asked: Asked) -> Rule | None:
    """With its own zeros around the map and those of a padding before it."""
    step = asked.step
    operator: Any = step.operator
    if asked.sources != (step.arguments[0],):
        return None  # weights that are made from the image
    kernel = (step.arguments[1].meta["val"] if isinstance(step.arguments[1], fx.Node) else step.arguments[1]).shape[2:]
    known = zip(kernel, operator.dilation, operator.stride, operator.sides, strict=True)
    slides = [Slide(spread * (cells - 1) + 1, stride, side[0]) for cells, spread, stride, side in known]
    return sliding(asked, slides, lambda maps, weight, bias: operator.convolve(maps, weight, bias, (0, 0)))


@local("max_pool2d", "max_pool2d_with_indices")
def max_pool(asked: Asked) -> Rule | None:
    """Around the map stands what is less than anything; where the maxima are is not followed."""
    call, node = asked.call, asked.step.node
    kernel, padding, dilation = call.pair("kernel_size"), call.pair("padding"), call.pair("dilation")
    stride = call.pair("stride") if call["stride"] else kernel
    several = not isinstance(node.meta["val"], Tensor)
    if several and any(user.target is not getitem or user.args[1] != 0 for user in node.users):
        return None

    def run(maps: Tensor, *_: Any, **__: Any) -> Any:
        found = torch.max_pool2d(maps, kernel, stride, 0, dilation)
        return (found, None) if several else found

    known = zip(kernel, stride, padding, dilation, strict=True)
    slides = [Slide(spread * (cells - 1) + 1, step, before) for cells, step, before, spread in known]
    return sliding(asked, slides, run, -float("inf"))


@local("avg_pool2d")
def average_pool(asked: Asked) -> Rule | None:
    """Where every window has the same number of cells: the zeros around the map count, and none lie beyond these."""
    call, before, after = asked.call, asked.ins[0].shape[2:], asked.call.shape[2:]
    kernel, padding, divisor = call.pair("kernel_size"), call.pair("padding"), call["divisor_override"]
    stride = call.pair("stride") if call["stride"] else kernel
    known = zip(before, after, kernel, stride, padding, strict=True)
    beyond = any((cells - 1) * step + size > length + 2 * zeros for length, cells, size, step, zeros in known)
    if beyond or (any(padding) and not call["count_include_pad"]):
        return None

    def run(maps: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.nn.functional.avg_pool2d(maps, kernel, stride, 0, divisor_override=divisor)

    return sliding(asked, [Slide(*one) for one in zip(kernel, stride, padding, strict=True)], run)


@local("pad", "constant_pad_nd")
def pad(asked: Asked) -> Rule | None:
    """Zeros around rows and columns, or anything around other axes."""
    node, amounts = asked.step.node, asked.call["pad"]
    if is_zero_padding(node):
        top, left = (side[0] for side in around(node))
        return sliding(asked, [Slide(1, 1, top), Slide(1, 1, left)], lambda maps, *_, **__: maps)
    axes = asked.axes()[::-1]
    padded = {axes[place] for place in range(len(amounts) // 2) if any(amounts[2 * place : 2 * place + 2])}
    return pointwise(asked, not padded & {"H", "W", "N"})


@local("avg_pool3d")
def channel_pool(asked: Asked) -> Rule | None:
    """A pool over channels alone, as in local response normalisation."""
    call = asked.call
    last = {name: call.pair(name, 3)[1:] for name in ("kernel_size", "padding", "stride") if call[name]}
    flat = (
        last["kernel_size"] == [1, 1] and last.get("padding", [0, 0]) == [0, 0] and last.get("stride", [1, 1]) == [1, 1]
    )
    return pointwise(asked, asked.axes()[-2:] == ("H", "W") and flat)


@local("mean", "sum")
def mean(asked: Asked) -> Rule | None:
    """Over all rows and columns from what changed; over other axes at each row and column."""
    axes, dims = asked.axes(), asked.call.arguments.get("dim")
    turned = [dims] if isinstance(dims, int) else dims or range(len(axes))
    over = {axes[axis] for axis in turned}
    if over == {"H", "W"} and asked.call.arguments.get("dtype") is None:
        return Rule("mean", asked.sources)
    return pointwise(asked, not over & {"H", "W", "N"})


@local("adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def global_pool(asked: Asked) -> Rule | None:
    """To a single cell: a mean."""
    return Rule("mean", asked.sources) if asked.axes() == MAP and prod(asked.call["output_size"]) == 1 else None


@local("amax", "amin", "linalg_vector_norm")
def reduction(asked: Asked) -> Rule | None:
    """Over other axes than rows and columns."""
    axes, dims = asked.axes(), asked.call.arguments.get("dim")
    turned = [dims] if isinstance(dims, int) else dims or range(len(axes))
    return pointwise(asked, not {axes[axis] for axis in turned} & {"H", "W", "N"})


@local("view", "_unsafe_view", "reshape")
def reshape(asked: Asked) -> Rule | None:
    """A change of shape that leaves images, and rows and columns as the last axes, as they are."""
    if not asked.keeps_rows() or asked.out is None:
        return None
    before, after = (asked.ins[0], asked.axes()), (asked.out, asked.out.axes or ())
    rows = all(axes[-2:] == ("H", "W") and axes[0] == "N" and field.shape[0] == 1 for field, axes in (before, after))
    return Rule("reshape", asked.sources) if rows and before[0].shape[-2:] == after[0].shape[-2:] else None


@local("cat", "concat")
def concatenation(asked: Asked) -> Rule | None:
    """Along the channels, of maps that all depend on the image."""
    parts, out = asked.step.arguments[0], asked.out
    if not asked.keeps_rows() or out is None or out.axes is None:
        return None
    along = out.axes[asked.call["dim"]] == "C" and all(field.axes == out.axes for field in asked.ins)
    return Rule("cat", asked.sources) if along and len(asked.sources) == len(parts) else None


@local(*POINTWISE)
def elementwise(asked: Asked) -> Rule | None:
    """Of maps with the same rows and columns, and of what is the same at all of these."""
    alike = all(field.axes == asked.out.axes and same_places(field, asked.out) for field in asked.ins if asked.out)
    return pointwise(asked, alike and constants_fit(asked))


@local("getitem")
def part(asked: Asked) -> Rule | None:
    """One of several results."""
    return pointwise(asked, True)


@local(scale, normalise, "prelu")
def by_channel(asked: Asked) -> Rule | None:
    """Weights that belong to the second axis."""
    return pointwise(asked, asked.axes()[1] == "C" and len(asked.sources) == 1)


@local("permute", "transpose", "unsqueeze", "squeeze")
def turn(asked: Asked) -> Rule | None:
    """Rows and columns stay what they are, wherever they are."""
    return pointwise(asked, True)


@local("softmax", "_softmax", "log_softmax", "_log_softmax", "slice", "select", "split", "chunk", "split_with_sizes")
def along_channels(asked: Asked) -> Rule | None:
    """Over the channels alone."""
    return pointwise(asked, len(asked.sources) == 1 and asked.axes()[asked.call["dim"] or 0] == "C")


@local("linear")
def linear(asked: Asked) -> Rule | None:
    """Of the channels, where these are the last axis; weights that are made from the image have none."""
    return pointwise(asked, len(asked.sources) == 1 and asked.axes()[-1] == "C")


@local("layer_norm", "rms_norm")
def layer_norm(asked: Asked) -> Rule | None:
    """Over the channels, where these are the last axis."""
    one = len(asked.sources) == 1 and len(asked.call["normalized_shape"]) == 1
    return pointwise(asked, one and asked.axes()[-1] == "C")


def same_places(one: Field, other: Field) -> bool:
    """Whether two maps have the same number of rows and of columns."""
    sizes = zip(one.shape, other.shape, other.axes or (), strict=True)
    return all(size == length for size, length, axis in sizes if axis in ("H", "W"))


def constants_fit(asked: Asked) -> bool:
    """Whether all else that a step reads is the same at every row and column."""
    axes = asked.out.axes if asked.out is not None and asked.out.axes is not None else ()
    for node in sources_of(asked.step):
        value = node.meta.get("val")
        if node in asked.sources or not isinstance(value, Tensor):
            continue
        shape = shape_of(value)
        lifted = (1,) * (len(axes) - len(shape)) + shape
        if any(size != 1 for size, axis in zip(lifted, axes, strict=True) if axis in ("H", "W")):
            return False
    return True
