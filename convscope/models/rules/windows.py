"""Operators that slide a window over rows and columns."""

from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from convscope.models.graph import operator_name
from convscope.models.receptive import Field, Integers, Interval, Reach, inside
from convscope.models.rules.call import Call, rule


@rule("conv2d", "convolution", "conv_transpose2d")
def convolution(call: Call) -> Field | None:
    """A window over rows and columns, and over all channels of a group."""
    field, weight = call.input, call["weight"]
    if len(field.shape) != 4:
        return None  # one map without the axis of images
    if not (weight.rows.empty and weight.columns.empty):
        return None  # weights that are made from the image
    if not isinstance(call["groups"], int):
        return None  # as many as there are images
    groups, stride, dilation = call["groups"], call.pair("stride"), call.pair("dilation")
    backward = operator_name(call.node) == "conv_transpose2d" or call.arguments.get("transposed", False)
    mixed = mix_channels(as_map(field), groups, call.shape[1])
    for axis in (2, 3):
        kernel, size = weight.shape[axis], call.shape[axis]
        if backward:
            mixed = spread(
                mixed,
                axis,
                size,
                kernel,
                stride[axis - 2],
                call.pair("padding")[axis - 2],
                dilation[axis - 2],
            )
            continue
        same = (dilation[axis - 2] * (kernel - 1)) // 2
        padding = (
            {"same": same, "valid": 0}[call["padding"]]
            if isinstance(call["padding"], str)
            else call.pair("padding")[axis - 2]
        )
        mixed = mixed.window(axis, size, kernel, stride[axis - 2], padding, dilation[axis - 2])
    return mixed


def as_map(field: Field) -> Field:
    """The input of a convolution or pool is N×C×H×W by definition."""
    return (
        field
        if field.axes == ("N", "C", "H", "W")
        else Field(field.shape, field.rows, field.columns, ("N", "C", "H", "W"))
    )


def mix_channels(field: Field, groups: int, channels: int) -> Field:
    """Each of the new channels sees all the old ones of its group."""

    def mix(array: Integers, better: Any) -> Integers:
        if array.shape[1] == 1:
            return array
        if groups == 1:
            return np.asarray(better.reduce(array, axis=1, keepdims=True))
        grouped = array.reshape(array.shape[0], groups, -1, *array.shape[2:])
        return np.repeat(better.reduce(grouped, axis=2), channels // groups, axis=1)

    rows = Interval(mix(field.rows.first, np.minimum), mix(field.rows.stop, np.maximum), field.rows.reach)
    columns = Interval(mix(field.columns.first, np.minimum), mix(field.columns.stop, np.maximum), field.columns.reach)
    return Field((field.shape[0], channels, *field.shape[2:]), rows, columns, field.axes)


def spread(field: Field, axis: int, size: int, kernel: int, stride: int, padding: int, dilation: int) -> Field:
    """A transposed convolution: output o sees input i where o = i·stride - padding + step·dilation."""
    taps = []
    for step in range(kernel):
        place = np.arange(size) + padding - step * dilation
        taps.append(np.where(place % stride == 0, inside(place // stride, field.shape[axis]), -1).astype(np.int32))
    shape = [*field.shape]
    shape[axis] = size
    return field.gather(axis, taps, shape, None)


@rule("max_pool2d", "avg_pool2d", "avg_pool3d", "max_pool2d_with_indices", "max_pool3d")
def pool(call: Call) -> Field | list[Field]:
    """A window over each map, ceil mode and padding as the output's size says."""
    field = as_map(call.input) if len(call.shape) == 4 else call.input
    count = 3 if "3d" in operator_name(call.node) else 2
    kernel, padding = call.pair("kernel_size", count), call.pair("padding", count)
    stride = call.pair("stride", count) if call["stride"] else kernel
    dilation = call.pair("dilation", count) if "dilation" in call.arguments else [1] * count
    for step in range(count):
        axis = len(call.shape) - count + step
        field = field.window(axis, call.shape[axis], kernel[step], stride[step], padding[step], dilation[step])
    return [field, field] if not isinstance(call.node.meta["val"], Tensor) else field


@rule("adaptive_avg_pool2d", "adaptive_max_pool2d", "_adaptive_avg_pool2d")
def adaptive_pool(call: Call) -> Field | list[Field]:
    """Cell o of n sees the inputs from floor(o·size/n) up to ceil((o+1)·size/n)."""
    field = as_map(call.input) if len(call.shape) == 4 else call.input
    for axis in (len(call.shape) - 2, len(call.shape) - 1):
        size, cells = field.shape[axis], call.shape[axis]
        if size % cells == 0 and cells > 1:
            field = field.window(axis, cells, size // cells, size // cells, 0)
        elif size != cells:
            starts, stops = np.arange(cells) * size // cells, -(-(np.arange(cells) + 1) * size // cells)
            taps = [
                np.minimum(starts + step, stops - 1).astype(np.int32) for step in range(int((stops - starts).max()))
            ]
            shape = [*field.shape]
            shape[axis] = cells
            field = field.gather(axis, taps, shape, None)
    return [field, field] if not isinstance(call.node.meta["val"], Tensor) else field


@rule("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d")
def upsample(call: Call) -> Field:
    """Nearest neighbour, bilinear or bicubic: the cells with a weight above zero."""
    name, field = operator_name(call.node), as_map(call.input)
    for position, axis in enumerate((2, 3)):
        size, cells = field.shape[axis], call.shape[axis]
        factors = call.arguments.get("scale_factors")
        step = 1 / factors[position] if factors else size / cells
        if "nearest" in name:
            half = 0.5 if "exact" in name else 0.0
            taps = [np.minimum(np.floor((np.arange(cells) + half) * step), size - 1).astype(np.int32)]
        else:
            corners = call["align_corners"]
            step = (size - 1) / max(cells - 1, 1) if corners else step
            at = np.arange(cells) * step if corners else (np.arange(cells) + 0.5) * step - 0.5
            at = np.maximum(at, 0) if "bilinear" in name else at
            low = np.floor(at + 1e-9).astype(np.int64)
            between = at - low > 1e-6
            offsets = (0, 1) if "bilinear" in name else (-1, 0, 1, 2)
            taps = [np.clip(np.where(between, low + o, low), 0, size - 1).astype(np.int32) for o in offsets]
        shape = [*field.shape]
        shape[axis] = cells
        field = field.gather(axis, taps, shape, None)
    return field


@rule("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d")
def pad(call: Call) -> Field:
    """Zeros see nothing; reflected, repeated and circular borders see the pixels that they copy."""
    field, amounts = call.input, list(call.arguments.get("pad") or call.arguments["padding"])
    mode = {"reflection_pad2d": "reflect", "replication_pad2d": "replicate"}.get(
        operator_name(call.node), call.arguments.get("mode", "constant")
    )
    for position in range(len(amounts) // 2):
        axis, before, after = (
            len(field.shape) - 1 - position,
            amounts[2 * position],
            amounts[2 * position + 1],
        )
        if not before and not after:
            continue
        size = field.shape[axis]
        index = np.arange(-before, size + after)
        if mode == "reflect":
            index = np.abs(index)
            index = np.where(index >= size, 2 * (size - 1) - index, index)
        elif mode in ("replicate", "circular"):
            index = np.clip(index, 0, size - 1) if mode == "replicate" else index % size
        shape = [*field.shape]
        shape[axis] = len(index)
        field = field.gather(axis, [inside(index, size)], shape, partial(Reach.shifted, cells=-before))
    return field
