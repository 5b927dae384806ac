"""Operators that only move elements: views, permutes, slices, concatenation."""

from collections.abc import Sequence
from functools import partial
from math import prod

import numpy as np

from convscope.models.graph import operator_name
from convscope.models.receptive import Field, Interval, Reach, shared_reach
from convscope.models.rules.call import Call, joint_axes, rule, shape_of


@rule("permute", "transpose", "t", "numpy_T")
def permute(call: Call) -> Field:
    """Turns the axes."""
    field, rank = call.input, len(call.shape)
    order = list(range(rank))
    if "dims" in call.arguments:
        order = [axis % rank for axis in call["dims"]]
    else:
        a, b = call.arguments.get("dim0", 0) % rank, call.arguments.get("dim1", 1) % rank
        order[a], order[b] = order[b], order[a]
    names = tuple(field.axes[axis] for axis in order) if field.axes else None
    return field.apply(call.shape, lambda array: array.transpose(order), names)


@rule(
    *("view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_copy"),
    *("pixel_shuffle", "pixel_unshuffle"),
)
def reshape(call: Call) -> Field | None:
    """Another shape of the same elements."""
    field, name = call.input, operator_name(call.node)
    if prod(field.shape) != prod(call.shape) or 0 in field.shape:
        return None
    names = regroup(field.shape, field.axes, call.shape)
    full = field.full()
    if name == "pixel_shuffle":
        r, (n, c, h, w) = call["upscale_factor"], field.shape
        return full.apply(
            call.shape,
            lambda a: a.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(call.shape),
            ("N", "C", "H", "W"),
        )
    if name == "pixel_unshuffle":
        r, (n, c, h, w) = call["downscale_factor"], field.shape
        return full.apply(
            call.shape,
            lambda a: a.reshape(n, c, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4).reshape(call.shape),
            ("N", "C", "H", "W"),
        )
    return full.apply(call.shape, lambda array: array.reshape(call.shape), names)


def regroup(before: Sequence[int], axes: tuple[str, ...] | None, after: Sequence[int]) -> tuple[str, ...] | None:
    """The meaning of the axes after a reshape: "c" is a part of the channels, "?" anything else that was mixed."""
    if axes is None:
        return None
    names: list[str] = []
    i = j = 0
    while i < len(before) and j < len(after):
        last_i, last_j, a, b = i + 1, j + 1, before[i], after[j]
        while a != b:
            if a < b:
                a *= before[last_i]
                last_i += 1
            else:
                b *= after[last_j]
                last_j += 1
        if last_j == len(after):
            last_i = len(before)
        old = [axes[k] for k in range(i, last_i) if before[k] > 1] or [axes[i]]
        new = last_j - j
        if new == 1 and {"C", "H", "W"} <= set(axes[i:last_i]) and "N" not in old:
            names += ["C"]  # one vector of all that an image gives, also where that has one unit, row or column
        elif len(old) == 1 and new == 1:
            names += old
        elif set(old) <= {"C", "c"}:
            names += ["C"] if new == 1 else ["c"] * new
        else:
            names += ["C"] if new == 1 and "C" in old and "N" not in old else ["?"] * new
        i, j = last_i, last_j
    while len(names) < len(after):
        names.append({2: "H", 3: "W"}.get(len(names), "?") if names[:2] == ["N", "C"] else "?")
    return tuple("C" if name == "c" and names.count("c") == 1 else name for name in names)


@rule("expand", "expand_as", "repeat")
def expand(call: Call) -> Field | None:
    """Broadcasts; a true repetition of more than one element is not followed."""
    field, rank = call.input, len(call.shape)
    lifted = (1,) * (rank - len(field.shape)) + field.shape
    if any(old not in (1, new) for old, new in zip(lifted, call.shape, strict=True)):
        return None
    names = field.axes if field.axes and len(field.axes) == rank else None
    return field.apply(call.shape, lambda array: array.reshape((1,) * (rank - array.ndim) + array.shape), names)


@rule("slice", "select", "narrow", "flip", "roll", "index_select")
def pick(call: Call) -> Field | None:
    """Some of the elements along one axis, or all in another order."""
    field, name, axis = call.input, operator_name(call.node), call.arguments.get("dim", 0)
    if name in ("flip", "roll"):
        for step, turned in enumerate(call["dims"]):
            size = field.shape[turned]
            index = np.arange(size)[::-1] if name == "flip" else (np.arange(size) - call["shifts"][step]) % size
            field = field.gather(turned % len(field.shape), [index.astype(np.int32)], field.shape, None)
        return field
    if name == "index_select":
        return None
    axis %= len(field.shape)
    size = field.shape[axis]
    if not size:
        return None  # the axis mixes the batch with something else
    if axis == 0 and field.axes and field.axes[0] == "N":
        return field if name == "slice" and call.shape == field.shape else None
    start, stop, step = (call["start"] or 0, call["end"], call["step"]) if name == "slice" else (call["index"], None, 1)
    index = np.arange(size)[start:stop:step] if name == "slice" else np.array([start % size])
    shape = [*field.shape]
    shape[axis] = len(index)
    begin = int(index[0]) if len(index) else 0
    found = field.gather(axis, [index.astype(np.int32)], shape, lambda reach: reach.shifted(begin).stepped(step))
    if name == "slice":
        return found
    names = tuple(n for k, n in enumerate(found.axes) if k != axis) if found.axes else None
    return found.apply(call.shape, lambda array: array.squeeze(axis), names)


@rule("split", "split_with_sizes", "chunk", "unbind", "tensor_split")
def split(call: Call) -> list[Field]:
    """Consecutive parts along one axis."""
    field, parts, at = call.input, [], 0
    axis = (call["dim"] or 0) % len(field.shape)
    for value in call.node.meta["val"]:
        shape = shape_of(value)
        length = shape[axis] if len(shape) == len(field.shape) else 1
        index = np.arange(at, at + length, dtype=np.int32)
        kept = [*field.shape]
        kept[axis] = length
        part = field.gather(axis, [index], kept, partial(Reach.shifted, cells=at))
        if len(shape) < len(kept):
            part = part.apply(shape, lambda array: array.squeeze(axis), None)
        parts.append(part)
        at += length
    return parts


@rule("cat", "concat", "stack")
def concatenate(call: Call) -> Field | None:
    """Side by side: every part keeps its own field, so units of different branches do too."""
    fields: list[Field] = call["tensors"]
    if operator_name(call.node) == "stack":
        return None
    axis = (call["dim"] or 0) % len(call.shape)
    axes = joint_axes(fields, len(call.shape))

    def side_by_side(intervals: list[Interval]) -> Interval:
        ends = []
        for arrays in ([i.first for i in intervals], [i.stop for i in intervals]):
            shape = [max(array.shape[k] for array in arrays) for k in range(arrays[0].ndim)]
            wide = [
                np.broadcast_to(a, [*shape[:axis], f.shape[axis], *shape[axis + 1 :]])
                for a, f in zip(arrays, fields, strict=True)
            ]
            ends.append(np.concatenate(wide, axis=axis))
        return Interval(ends[0], ends[1], shared_reach(intervals))

    return Field(call.shape, side_by_side([f.rows for f in fields]), side_by_side([f.columns for f in fields]), axes)
