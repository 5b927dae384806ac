"""Operators that look at each element alone."""

from convscope.models.receptive import Field, constant_field
from convscope.models.rules.call import Call, joint_axes, rule

POINTWISE = [
    "relu",
    "relu6",
    "hardtanh",
    "clamp",
    "clamp_min",
    "clamp_max",
    "leaky_relu",
    "prelu",
    "elu",
    "selu",
    "celu",
    "silu",
    "gelu",
    "mish",
    "hardswish",
    "hardsigmoid",
    "sigmoid",
    "log_sigmoid",
    "tanh",
    "softplus",
    "softsign",
    "hardshrink",
    "threshold",
    "rrelu",
    "add",
    "sub",
    "mul",
    "div",
    "rsub",
    "neg",
    "abs",
    "square",
    "sqrt",
    "rsqrt",
    "pow",
    "exp",
    "log",
    "log1p",
    "expm1",
    "erf",
    "sin",
    "cos",
    "reciprocal",
    "maximum",
    "minimum",
    "where",
    "gt",
    "lt",
    "ge",
    "le",
    "eq",
    "ne",
    "logical_and",
    "logical_or",
    "logical_not",
    "bitwise_and",
    "bitwise_or",
    "bitwise_not",
    "bitwise_xor",
    "__and__",
    "__or__",
    "__xor__",
    "masked_fill",
    "fill",
    "lerp",
    "addcmul",
    "addcdiv",
    "dropout",
    "feature_dropout",
    "alpha_dropout",
    "native_dropout",
    "clone",
    "contiguous",
    "alias",
    "detach",
    "detach_",
    "lift_fresh_copy",
    "_to_copy",
    "to",
    "type_as",
    "copy",
    "nan_to_num",
    "round",
    "floor",
    "ceil",
    "sign",
]


@rule("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "rand_like")
def constant(call: Call) -> Field:
    """Only the shape of the input counts."""
    return constant_field(call.shape)


@rule(*POINTWISE)
def pointwise(call: Call) -> Field:
    """Each element sees what the elements of the inputs at its place see."""
    fields = call.fields
    rows, columns = fields[0].rows, fields[0].columns
    for field in fields[1:]:
        rows, columns = rows.join(field.rows), columns.join(field.columns)
    rank = len(call.shape)
    lift = lambda array: array.reshape((1,) * (rank - array.ndim) + array.shape)  # noqa: E731
    return Field(call.shape, rows.apply(lift, rows.reach), columns.apply(lift, columns.reach), joint_axes(fields, rank))
