"""Activations that have no rule in deconvnet and guided backprop, and the gates that need none.

Both methods change how a signal passes a rectifier. A GELU, SiLU or tanh has no such rule, and a picture made without
one would be a plain gradient under another name. What only scales other values (the sigmoid of squeeze-and-excite) is
a gate: signals pass it by its true gradient.
"""

from collections.abc import Sequence

from torch import Tensor, fx

from convscope.models.graph import operator_name
from convscope.models.layers import SMOOTH
from convscope.models.rectifiers import ceiling, is_rectifier

BOUNDED = frozenset(["sigmoid", "hardsigmoid", "hardtanh", "clamp", "tanh", "relu6", "softmax", "_softmax"])
BENT = frozenset([*SMOOTH, *BOUNDED, "abs", "exp", "erf", "sign", "sin", "cos", "expm1", "log1p", "heaviside"])
CHAIN = frozenset(  # element by element, or only another shape
    [
        "add", "sub", "rsub", "mul", "div", "neg", "clone", "_to_copy", "to", "type_as", "contiguous", "alias",
        "view", "_unsafe_view", "reshape", "expand", "expand_as", "unsqueeze", "squeeze", "permute", "transpose",
    ]
)  # fmt: skip
PARTS = frozenset(["getitem", "split", "split_with_sizes", "chunk", "slice", "select"])
JOINS = ("mul", "div", "maximum", "minimum", "where", "addcmul")


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
        others = [one for one in user.all_input_nodes if one is not node and one in moving]
        if name == "mul" and others:
            return not any(roots(one, moving) & made for one in others)
        return name in CHAIN | PARTS and not others and scales(user, made)

    return {
        node
        for node in nodes
        if node in moving
        and operator_name(node) in BOUNDED
        and (not is_rectifier(node) or ceiling(node) is not None)
        and scales(node, roots(node, moving))
    }


def find_unruled(nodes: Sequence[fx.Node], moving: frozenset[fx.Node], last: fx.Node) -> list[fx.Node]:
    """The activations without a rule, in order, and rectifiers made by hand that nobody can tell from others.

    last: where signals start; a softmax that gives it is left behind by the true gradient.
    """
    gates = find_gates(nodes, moving)
    found = []
    for node in nodes:
        if node not in moving or node in gates or is_rectifier(node) or node is last:
            continue
        name = operator_name(node)
        if name in BENT or (name in JOINS and is_made_by_hand(node, moving)):
            found.append(node)
    return found


def is_made_by_hand(node: fx.Node, moving: frozenset[fx.Node]) -> bool:
    """Whether a node joins a value with a bent version of the same value: x·relu6(x + 3)/6, or max(x, 0.1·x)."""
    parts = [one for one in node.all_input_nodes if one in moving and is_float(one)]
    bends = operator_name(node) in ("maximum", "minimum", "where")
    for one in parts:
        for other in parts:
            shared = one is not other and roots(one, moving, BENT) & roots(other, moving, frozenset())
            if shared and (bends or is_bent(one, shared, moving)):
                return True
    return False


def roots(node: fx.Node, moving: frozenset[fx.Node], through: frozenset[str] = BENT) -> set[fx.Node]:
    """The values that a node is made of element by element, itself among them, each from one value and constants."""
    found = {node}
    while operator_name(node) in CHAIN | through or is_rectifier(node):
        if is_rectifier(node) and not through:
            break
        sources = [one for one in node.all_input_nodes if one in moving]
        if len(sources) != 1:
            break
        node = sources[0]
        found.add(node)
    return found


def is_bent(node: fx.Node, ends: set[fx.Node], moving: frozenset[fx.Node]) -> bool:
    """Whether something bent lies between a node and the values that it is made of."""
    while node not in ends:
        if operator_name(node) in BENT or is_rectifier(node):
            return True
        node = next(one for one in node.all_input_nodes if one in moving)
    return False


def is_float(node: fx.Node) -> bool:
    """Whether a node's value is a tensor of floating-point numbers."""
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()
