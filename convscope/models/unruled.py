"""Activations that have no rule in deconvnet and guided backprop, and the gates that need none.

Both methods change how a signal passes a rectifier. A GELU, SiLU or tanh has no such rule, and a picture made without
one would be a plain gradient under another name. What only scales other values (the sigmoid of squeeze-and-excite) is
a gate: signals pass it by its true gradient. Bends made by hand are known by their operators: a root of what is no
mean, the greater of a value and itself in another form, an attention.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from convscope.models.graph import operator_name
from convscope.models.layers import SMOOTH
from convscope.models.rectifiers import argument, ceiling, is_rectifier, rectified

BOUNDED = frozenset(
    ["sigmoid", "hardsigmoid", "hardtanh", "clamp", "clamp_min", "tanh", "relu6", "softmax", "_softmax"]
)
BENT = frozenset(
    [
        *SMOOTH, *BOUNDED, "abs", "exp", "erf", "sign", "sin", "cos", "expm1", "log1p", "heaviside", "hardshrink",
        "softshrink", "clamp_max", "logaddexp", "atan", "atan2", "asinh", "acosh", "atanh", "tan", "sinh", "cosh",
        "log", "log2", "log10", "exp2", "hypot", "xlogy", "round", "floor", "ceil", "trunc", "frac", "erfc", "erfinv",
    ]
)  # fmt: skip
COMPARED = frozenset(["gt", "ge", "lt", "le", "logical_not", "bitwise_not"])
CHAIN = frozenset(  # element by element, or only another shape
    [
        "add", "sub", "rsub", "mul", "div", "neg", "clone", "_to_copy", "to", "type_as", "contiguous", "alias",
        "detach", "view", "_unsafe_view", "reshape", "expand", "expand_as", "unsqueeze", "squeeze", "permute",
        "transpose", "batch_norm",
    ]
)  # fmt: skip
PARTS = frozenset(["getitem", "split", "split_with_sizes", "chunk", "slice", "select"])
SHAPED = ("expand_as", "view_as", "type_as")
MADE = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")  # of a tensor's shape alone
GREATEST = ("maximum", "minimum", "fmax", "fmin")
PROBABILITIES = ("softmax", "_softmax", "sigmoid")
JOINS = ("mul", "div", *GREATEST, "where", "masked_fill", "addcmul")
ROOTS = ("sqrt", "rsqrt", "pow")
MEANS = frozenset(
    [
        "mean", "sum", "var", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
        "linalg_vector_norm", "norm",
    ]
)  # fmt: skip
ALONG = {"glu": -1, "amax": (), "amin": (), "max": None, "min": None}  # what joins values along an axis, its default
ATTENTION = ("scaled_dot_product_attention", "_scaled_dot_product")
FILLED = ("index_put", "masked_scatter")


def find_gates(nodes: Sequence[fx.Node], moving: frozenset[fx.Node]) -> set[fx.Node]:
    """The bounded activations that do nothing but scale values that they were not made of themselves.

    nodes: those on the way from the pixels; moving: the ones that depend on the image.
    """
    inside = set(nodes)

    def scales(node: fx.Node, made: set[fx.Node]) -> bool:
        readers = [user for user in node.users if user in inside]
        return bool(readers) and all(only_scaled(user, node, made) for user in readers)

    def only_scaled(user: fx.Node, node: fx.Node, made: set[fx.Node]) -> bool:
        name = operator_name(user)
        others = [one for one in tensors(user, moving) if one is not node]
        if others and (name == "mul" or (name == "div" and user.args[0] is not node)):
            return not any(roots(one, moving) & made for one in others)
        return name in CHAIN | PARTS and not others and scales(user, made)

    return {
        node
        for node in nodes
        if node in moving
        and operator_name(node) in BOUNDED
        and (not is_rectifier(node) or is_share(node))
        and scales(node, roots(node, moving))
    }


def is_share(node: fx.Node) -> bool:
    """Whether a rectifier gives shares, as clamp(x, 0, 1) and relu6(x + 3) of a hard sigmoid do, and no activations."""
    source = rectified(node)
    moved = operator_name(source) in ("add", "sub", "rsub") and any(isinstance(one, int | float) for one in source.args)
    return ceiling(node) == 1 or (ceiling(node) is not None and moved)


def find_unruled(nodes: Sequence[fx.Node], moving: frozenset[fx.Node], last: fx.Node) -> list[fx.Node]:
    """The activations without a rule, in order, and rectifiers made by hand that nobody can tell from others.

    last: where signals start; a softmax or sigmoid that makes probabilities there is left by the true gradient.
    """
    gates = find_gates(nodes, moving)
    found = []
    for node in nodes:
        name = operator_name(node)
        if node not in moving or node in gates or is_rectifier(node) or (node is last and name in PROBABILITIES):
            continue
        by_hand = name in JOINS and is_made_by_hand(node, moving)
        if name in BENT or by_hand or is_bend(node, moving):
            found.append(node)
    return found


def is_bend(node: fx.Node, moving: frozenset[fx.Node]) -> bool:
    """Whether a node bends values by operators that are mostly used for something else."""
    name = operator_name(node)
    if name.startswith(ATTENTION):
        return True
    if name in FILLED:  # x[x < 0] = 0
        return any(one in moving and one.meta["val"].dtype == torch.bool for one in node.all_input_nodes)
    if name in ROOTS:
        exponent = node.args[1] if name == "pow" else 0.5
        whole = isinstance(exponent, int | float) and float(exponent).is_integer()
        return not whole and not all(is_mean(one, moving) for one in tensors(node, moving))
    return name in ALONG and joins_itself(node, moving)


def is_mean(node: fx.Node, moving: frozenset[fx.Node]) -> bool:
    """Whether a value is made of means or sums alone, as deviations and lengths are that a network divides by."""
    sources = tensors(node, moving)
    follows = bool(sources) and operator_name(node) in CHAIN.union(ROOTS, ["square"])
    return operator_name(node) in MEANS or (follows and all(is_mean(one, moving) for one in sources))


def joins_itself(node: fx.Node, moving: frozenset[fx.Node]) -> bool:
    """Whether a node joins a value with a constant or with another form of itself, put side by side before."""
    source, dims = node.args[0], argument(node, 1, "dim", ALONG[operator_name(node)])
    if not isinstance(source, fx.Node) or operator_name(source) not in ("cat", "stack") or dims is None:
        return False
    rank = source.meta["val"].ndim
    axes = {axis % rank for axis in ([dims] if isinstance(dims, int) else dims or range(rank))}
    if int(argument(source, 1, "dim", 0)) % rank not in axes:
        return False
    parts = source.args[0]
    assert isinstance(parts, list | tuple)
    made = [roots(one, moving) for one in tensors(source, moving)]
    return len(made) < len(parts) or any(a & b for place, a in enumerate(made) for b in made[:place])


def is_made_by_hand(node: fx.Node, moving: frozenset[fx.Node]) -> bool:
    """Whether a node joins a value with a bent version of the same value: x·relu6(x + 3)/6, max(x, 0.1·x), x·(x>1).

    The greater of a value and a constant tensor is one too, where that is not known to be 0: a buffer may change.
    """
    parts = tensors(node, moving)
    bends = operator_name(node) not in ("mul", "div", "addcmul")
    if operator_name(node) in GREATEST and len(parts) == 1:
        return True
    for one in parts:
        for other in parts:
            shared = one is not other and roots(one, moving, BENT | COMPARED) & roots(other, moving, frozenset())
            if shared and (bends or is_bent(one, shared, moving)):
                return True
    return False


def roots(node: fx.Node, moving: frozenset[fx.Node], through: frozenset[str] = BENT) -> set[fx.Node]:
    """The values that a node is made of element by element, itself among them, each from one value and constants."""
    found = {node}
    while operator_name(node) in CHAIN | through or is_rectifier(node) or is_normalised(node):
        if is_rectifier(node) and not through:
            break
        sources = tensors(node, moving)
        if len(sources) != 1:
            break
        node = sources[0]
        found.add(node)
    return found


def is_normalised(node: fx.Node) -> bool:
    """Whether a node is what a BatchNorm gives."""
    return operator_name(node) == "getitem" and operator_name(node.all_input_nodes[0]) == "batch_norm"


def is_bent(node: fx.Node, ends: set[fx.Node], moving: frozenset[fx.Node]) -> bool:
    """Whether something bent lies between a node and the values that it is made of."""
    while node not in ends:
        if operator_name(node) in BENT | COMPARED or is_rectifier(node):
            return True
        node = tensors(node, moving)[0]
    return False


def tensors(node: fx.Node, moving: frozenset[fx.Node]) -> list[fx.Node]:
    """The tensors that a node reads and that depend on the image, without those of which it reads the shape alone."""
    read = node.all_input_nodes[:1] if operator_name(node) in SHAPED else node.all_input_nodes
    known = [one for one in read if one in moving and operator_name(one) not in MADE]
    return [one for one in known if isinstance(one.meta.get("val"), Tensor | tuple | list)]
