"""Operators that mix whole axes: linear layers, norms, means."""

from dataclasses import replace

from torch import Tensor

from convscope.models.receptive import Field, constant_field
from convscope.models.rules.call import Call, rule
from convscope.models.rules.windows import mix_channels


@rule("batch_norm")
def batch_norm(call: Call) -> Field | list[Field]:
    """With stored statistics pointwise; with those of the batch each unit sees the whole of its map."""
    field = call.input
    if "no_training" not in str(call.node.target) and "batch_norm.default" not in str(call.node.target):
        field = field.reduce([axis for axis in range(len(field.shape)) if axis != 1], field.shape)
    return (
        [field, constant_field((1,)), constant_field((1,))] if not isinstance(call.node.meta["val"], Tensor) else field
    )


@rule("linear")
def linear(call: Call) -> Field | None:
    """Mixes the last axis; of N×K that makes units, whatever it was."""
    if not (call["weight"].rows.empty and call["weight"].columns.empty):
        return None  # weights that are made from the image
    found = call.input.reduce([-1], call.shape)
    return replace(found, axes=("N", "C")) if found.axes and len(found.axes) == 2 and found.axes[0] == "N" else found


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
def group_norm(call: Call) -> Field | list[Field] | None:
    """Every unit sees the whole of its group's maps."""
    field = call.input
    groups = call.arguments.get("num_groups") or call.arguments.get("group") or field.shape[1]
    mixed = mix_channels(field, groups, field.shape[1]).reduce(range(2, len(field.shape)), field.shape)
    return mixed if isinstance(call.node.meta["val"], Tensor) else [mixed, constant_field((1,)), constant_field((1,))]


@rule("mean", "sum", "amax", "amin", "var", "std", "var_mean", "prod", "norm", "linalg_vector_norm")
def reduction(call: Call) -> Field | None:
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
