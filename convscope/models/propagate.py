"""What each operator of the graph does to receptive fields: one short rule per family of operators.

An operator that is not listed sees, as far as we know, the whole image; that is never too small.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from operator import getitem
from typing import Any

import numpy as np
from torch import Tensor, fx

from convscope.models.graph import Graph, operator_name
from convscope.models.receptive import Field, Integers, Interval, Reach, constant_field, image_field, inside, shared_reach

POINTWISE = frozenset(
    "relu relu6 hardtanh clamp clamp_min clamp_max leaky_relu prelu elu selu celu silu gelu mish hardswish hardsigmoid "
    "sigmoid log_sigmoid tanh softplus softsign hardshrink threshold rrelu add sub mul div rsub neg abs square sqrt "
    "rsqrt pow exp log log1p expm1 erf sin cos reciprocal maximum minimum where gt lt ge le eq ne logical_and "
    "logical_or logical_not masked_fill fill lerp addcmul addcdiv dropout feature_dropout alpha_dropout "
    "native_dropout clone contiguous alias detach detach_ lift_fresh_copy _to_copy to type_as copy nan_to_num round "
    "floor ceil sign".split()
)
Rule = Callable[["Call"], "Field | list[Field]"]
RULES: dict[str, Rule] = {}


class Call:
    """One node with its arguments by name: fields where they are tensors."""

    def __init__(self, node: fx.Node, known: Mapping[fx.Node, Any]) -> None:
        self.node = node
        self.known = known
        schema = getattr(node.target, "_schema", None)
        self.arguments: dict[str, Any] = {}
        for position, argument in enumerate(schema.arguments if schema else ()):
            default = argument.default_value if argument.has_default_value() else None
            given = node.args[position] if position < len(node.args) else node.kwargs.get(argument.name, default)
            self.arguments[argument.name] = self.resolve(given)

    def resolve(self, value: Any) -> Any:
        """Nodes replaced by their fields, also inside lists."""
        if isinstance(value, fx.Node):
            return self.known.get(value)
        return [self.resolve(item) for item in value] if isinstance(value, list | tuple) else value

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def input(self) -> Field:
        """The first tensor argument."""
        field = next(iter(self.arguments.values()))
        assert isinstance(field, Field)
        return field

    @property
    def fields(self) -> list[Field]:
        """All tensor arguments."""
        return [f for v in self.arguments.values() for f in (v if isinstance(v, list) else [v]) if isinstance(f, Field)]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the (first) result for one image."""
        value = self.node.meta["val"]
        return shape_of(value if isinstance(value, Tensor) else value[0])

    def pair(self, name: str, count: int = 2) -> list[int]:
        """An argument with one number per spatial axis, also where it was given once for all."""
        values = self[name]
        values = list(values) if isinstance(values, list | tuple) else [values]
        return values * count if len(values) == 1 else values


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule for operators of these names."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def propagate(graph: Graph, size: tuple[int, int]) -> dict[fx.Node, Field]:
    """The field of every tensor of the graph that depends on the image, for inputs of that height and width."""
    known: dict[fx.Node, Any] = {graph.pixels: image_field(*size)}
    for node in graph.weights:
        known[node] = constant_field(shape_of(node.meta["val"])) if isinstance(node.meta["val"], Tensor) else None
    for node in graph.nodes:
        value = node.meta.get("val")
        if node.target is getitem:
            source = known.get(node.args[0])  # type: ignore[call-overload]
            known[node] = source[node.args[1]] if isinstance(source, list) else None
        elif not isinstance(value, Tensor | list | tuple):
            known[node] = None  # a number, such as the batch size
        elif node not in graph.from_pixels:
            known[node] = [constant_field(shape_of(v)) for v in value] if not isinstance(value, Tensor) else constant_field(shape_of(value))
        else:
            known[node] = settle(node, known, value)
    return {node: field for node, field in known.items() if isinstance(field, Field) and node in graph.from_pixels}


def settle(node: fx.Node, known: Mapping[fx.Node, Any], value: Any) -> Field | list[Field]:
    """The rule's answer where there is one that fits, else the whole of what the inputs see."""
    call = Call(node, known)
    name = operator_name(node)
    found = pointwise(call) if name in POINTWISE else RULES[name](call) if name in RULES else None
    if found is None or (isinstance(found, Field) and found.shape != call.shape):
        return everything(call) if isinstance(value, Tensor) else [everything(call)] * len(value)
    return found.compact() if isinstance(found, Field) else [field.compact() for field in found]


def shape_of(value: Tensor) -> tuple[int, ...]:
    """The shape for one image: 1 for the batch axis, 0 for an axis that mixes the batch with something else."""
    sizes: Sequence[Any] = tuple(value.shape)
    return tuple(size if isinstance(size, int) else int(axis == 0) for axis, size in enumerate(sizes))


def everything(call: Call) -> Field:
    """Every element sees all that any input sees."""
    fields = call.fields
    ones = [1] * len(call.shape)

    def union(intervals: list[Interval]) -> Interval:
        first = min(int(interval.first.min()) for interval in intervals)
        stop = max(int(interval.stop.max()) for interval in intervals)
        return Interval(np.full(ones, first, np.int32), np.full(ones, stop, np.int32))

    axes = joint_axes(fields, len(ones))
    return Field(call.shape, union([f.rows for f in fields]), union([f.columns for f in fields]), axes)


def joint_axes(fields: Sequence[Field], rank: int) -> tuple[str, ...] | None:
    """The axes that all inputs of full rank agree on."""
    known = {field.axes for field in fields if field.axes is not None and len(field.shape) == rank}
    return known.pop() if len(known) == 1 else None


def pointwise(call: Call) -> Field:
    """Each element sees what the elements of the inputs at its place see."""
    fields = call.fields
    rows, columns = fields[0].rows, fields[0].columns
    for field in fields[1:]:
        rows, columns = rows.join(field.rows), columns.join(field.columns)
    rank = len(call.shape)
    lift = lambda array: array.reshape((1,) * (rank - array.ndim) + array.shape)  # noqa: E731
    return Field(call.shape, rows.apply(lift, rows.reach), columns.apply(lift, columns.reach), joint_axes(fields, rank))


@rule("batch_norm")
def batch_norm(call: Call) -> Field | list[Field]:
    """With stored statistics pointwise; with those of the batch each unit sees the whole of its map."""
    field = call.input
    if "no_training" not in str(call.node.target) and "batch_norm.default" not in str(call.node.target):
        field = field.reduce([axis for axis in range(len(field.shape)) if axis != 1], field.shape)
    return [field, constant_field((1,)), constant_field((1,))] if not isinstance(call.node.meta["val"], Tensor) else field


@rule("conv2d", "convolution", "conv_transpose2d")
def convolution(call: Call) -> Field:
    """A window over rows and columns, and over all channels of a group."""
    field, weight = call.input, call["weight"]
    groups, stride, dilation = call["groups"], call.pair("stride"), call.pair("dilation")
    backward = operator_name(call.node) == "conv_transpose2d" or call.arguments.get("transposed", False)
    mixed = mix_channels(as_map(field), groups, call.shape[1])
    for axis in (2, 3):
        kernel, size = weight.shape[axis], call.shape[axis]
        if backward:
            mixed = spread(mixed, axis, size, kernel, stride[axis - 2], call.pair("padding")[axis - 2], dilation[axis - 2])
            continue
        same = (dilation[axis - 2] * (kernel - 1)) // 2
        padding = {"same": same, "valid": 0}[call["padding"]] if isinstance(call["padding"], str) else call.pair("padding")[axis - 2]
        mixed = mixed.window(axis, size, kernel, stride[axis - 2], padding, dilation[axis - 2])
    return mixed


def as_map(field: Field) -> Field:
    """The input of a convolution or pool is N×C×H×W by definition."""
    return field if field.axes == ("N", "C", "H", "W") else Field(field.shape, field.rows, field.columns, ("N", "C", "H", "W"))


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
            taps = [np.minimum(starts + step, stops - 1).astype(np.int32) for step in range(int((stops - starts).max()))]
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
    mode = {"reflection_pad2d": "reflect", "replication_pad2d": "replicate"}.get(operator_name(call.node), call.arguments.get("mode", "constant"))
    for position in range(len(amounts) // 2):
        axis, before, after = len(field.shape) - 1 - position, amounts[2 * position], amounts[2 * position + 1]
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
        shift = lambda r, before=before: Reach(r.stride, r.first - r.stride * before, r.last - r.stride * before)  # noqa: E731
        field = field.gather(axis, [inside(index, size)], shape, shift)
    return field


@rule("linear")
def linear(call: Call) -> Field:
    """Mixes the last axis."""
    return call.input.reduce([-1], call.shape)


@rule("softmax", "log_softmax", "_softmax", "_log_softmax", "cumsum", "logsumexp")
def along(call: Call) -> Field:
    """Mixes one axis and keeps it."""
    return call.input.reduce([call["dim"]], call.shape)


@rule("layer_norm", "native_layer_norm", "rms_norm")
def layer_norm(call: Call) -> Field | list[Field]:
    """Mixes the last axes."""
    field = call.input.reduce(range(-len(call["normalized_shape"]), 0), call.shape)
    return field if isinstance(call.node.meta["val"], Tensor) else [field, constant_field((1,)), constant_field((1,))]


@rule("group_norm", "native_group_norm", "instance_norm")
def group_norm(call: Call) -> Field | list[Field] | None:  # type: ignore[return]
    """Every unit sees the whole of its group's maps."""
    field = call.input
    groups = call.arguments.get("num_groups") or call.arguments.get("group") or field.shape[1]
    mixed = mix_channels(field, groups, field.shape[1]).reduce(range(2, len(field.shape)), field.shape)
    return mixed if isinstance(call.node.meta["val"], Tensor) else [mixed, constant_field((1,)), constant_field((1,))]


@rule("mean", "sum", "amax", "amin", "var", "std", "var_mean", "prod", "norm", "linalg_vector_norm")
def reduction(call: Call) -> Field | None:  # type: ignore[return]
    """Mixes axes, and drops them unless they are kept."""
    if not isinstance(call.node.meta["val"], Tensor):
        return None
    field, dims = call.input, call.arguments.get("dim")
    rank = len(field.shape)
    axes = [axis % rank for axis in (dims if isinstance(dims, list) else range(rank) if dims is None else [dims])]
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(field.shape))
    field = field.reduce(axes, kept)
    if call.arguments.get("keepdim"):
        return field
    names = tuple(name for axis, name in enumerate(field.axes) if axis not in axes) if field.axes else None
    return field.apply(call.shape, lambda array: array.squeeze(tuple(axes)), names)


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


@rule("view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_copy", "pixel_shuffle", "pixel_unshuffle")
def reshape(call: Call) -> Field | None:  # type: ignore[return]
    """Another shape of the same elements."""
    field, name = call.input, operator_name(call.node)
    if prod(field.shape) != prod(call.shape) or 0 in field.shape:
        return None
    names = regroup(field.shape, field.axes, call.shape)
    full = field.full()
    if name == "pixel_shuffle":
        r, (n, c, h, w) = call["upscale_factor"], field.shape
        return full.apply(call.shape, lambda a: a.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(call.shape), ("N", "C", "H", "W"))
    if name == "pixel_unshuffle":
        r, (n, c, h, w) = call["downscale_factor"], field.shape
        return full.apply(call.shape, lambda a: a.reshape(n, c, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4).reshape(call.shape), ("N", "C", "H", "W"))
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
        if len(old) == 1 and new == 1:
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
def expand(call: Call) -> Field | None:  # type: ignore[return]
    """Broadcasts; a true repetition of more than one element is not followed."""
    field, rank = call.input, len(call.shape)
    lifted = (1,) * (rank - len(field.shape)) + field.shape
    if any(old not in (1, new) for old, new in zip(lifted, call.shape, strict=True)):
        return None
    names = field.axes if field.axes and len(field.axes) == rank else None
    return field.apply(call.shape, lambda array: array.reshape((1,) * (rank - array.ndim) + array.shape), names)


@rule("slice", "select", "narrow", "flip", "roll", "index_select")
def pick(call: Call) -> Field | None:  # type: ignore[return]
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
    if axis == 0 and field.axes and field.axes[0] == "N":
        return field if name == "slice" and call.shape == field.shape else None
    start, stop, step = (call["start"] or 0, call["end"], call["step"]) if name == "slice" else (call["index"], None, 1)
    index = np.arange(size)[start:stop:step] if name == "slice" else np.array([start % size])
    shape = [*field.shape]
    shape[axis] = len(index)
    begin = int(index[0]) if len(index) else 0
    found = field.gather(axis, [index.astype(np.int32)], shape, lambda r: Reach(r.stride * step, r.first + r.stride * begin, r.last + r.stride * begin))
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
        begin = at
        part = field.gather(axis, [index], kept, lambda r, begin=begin: Reach(r.stride, r.first + r.stride * begin, r.last + r.stride * begin))  # type: ignore[misc]
        if len(shape) < len(kept):
            part = part.apply(shape, lambda array: array.squeeze(axis), None)
        parts.append(part)
        at += length
    return parts


@rule("cat", "concat", "stack")
def concatenate(call: Call) -> Field | None:  # type: ignore[return]
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
            wide = [np.broadcast_to(a, [*shape[:axis], f.shape[axis], *shape[axis + 1 :]]) for a, f in zip(arrays, fields, strict=True)]
            ends.append(np.concatenate(wide, axis=axis))
        return Interval(ends[0], ends[1], shared_reach(intervals))

    return Field(call.shape, side_by_side([f.rows for f in fields]), side_by_side([f.columns for f in fields]), axes)
