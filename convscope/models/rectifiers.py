"""Which nodes of the graph are rectifiers, however the network spells its ReLU."""

from typing import Any

from torch import fx

from convscope.models.graph import operator_name

ALWAYS = frozenset({"relu", "relu6", "leaky_relu", "prelu", "rrelu"})
GATES = ("gt", "ge", "le", "lt")
COPIES = ("_to_copy", "to", "type_as", "clone", "lift_fresh_copy", "detach")


def is_rectifier(node: fx.Node) -> bool:
    """ReLU, ReLU6, clamp or hardtanh from 0, leaky ReLU, PReLU, maximum(x, 0), x·(x>0), where or masked_fill to 0."""
    name = operator_name(node)
    if name in ALWAYS:
        return True
    if name == "threshold":
        return is_number(argument(node, 1, "threshold"), 0) and is_number(argument(node, 2, "value"), 0)
    if name in ("hardtanh", "clamp", "clamp_min"):
        low, high = (argument(node, place, key) for place, key in ((1, "min"), (2, "max")))
        if name == "hardtanh":
            low, high = argument(node, 1, "min_val", -1), argument(node, 2, "max_val", 1)
        return is_number(low, 0) and (high is None or (isinstance(high, int | float) and high > 0))
    if name in ("maximum", "fmax"):
        return any(is_zero(source) for source in node.args)
    if name == "mul":
        return is_gate(node.args[0], node.args[1]) or is_gate(node.args[1], node.args[0])
    if name == "masked_fill":
        return is_gate(node.args[0], node.args[1], ("le", "lt")) and is_zero(node.args[2])
    if name == "where" and len(node.args) == 3:
        if is_zero(node.args[1]):  # where(x <= 0, 0, x)
            return is_gate(node.args[2], node.args[0], ("le", "lt"))
        return is_gate(node.args[1], node.args[0]) and is_zero(node.args[2])
    return False


def rectified(node: fx.Node) -> fx.Node:
    """What a rectifier rectifies: of all that it reads the value that is neither 0 nor made of the others."""
    sources = [one for one in node.all_input_nodes if not is_zero(one)]
    name = operator_name(node)
    if name in ("mul", "where", "masked_fill"):
        gates = [one for one in sources if any(is_gate(other, one, GATES) for other in sources)]
        sources = [one for one in sources if one not in gates]
    return sources[0]


def leaks(node: fx.Node) -> bool:
    """Whether a rectifier lets some of what is below 0 through."""
    return operator_name(node) in ("leaky_relu", "prelu", "rrelu")


def ceiling(node: fx.Node) -> float | None:
    """The greatest value that a rectifier lets through (6 of a ReLU6); None where there is none."""
    name = operator_name(node)
    if not is_rectifier(node) or name not in ("relu6", "hardtanh", "clamp"):
        return None
    high = 6.0 if name == "relu6" else argument(node, 2, "max_val" if name == "hardtanh" else "max")
    return float(high) if isinstance(high, int | float) else None


def argument(node: fx.Node, place: int, key: str, default: Any = None) -> Any:
    """An argument by place or by name."""
    return node.args[place] if place < len(node.args) else node.kwargs.get(key, default)


def is_number(value: Any, number: float) -> bool:
    """Whether a constant argument is that number."""
    return isinstance(value, int | float) and value == number


def is_zero(value: Any) -> bool:
    """Whether an argument is the constant 0, alone or as a tensor full of it."""
    while isinstance(value, fx.Node) and operator_name(value) in COPIES:
        value = value.args[0]
    if not isinstance(value, fx.Node):
        return is_number(value, 0)
    name = operator_name(value)
    return (
        bool(value.meta.get("zero"))
        or name in ("zeros", "zeros_like", "new_zeros")
        or (name in ("full", "full_like", "scalar_tensor") and any(is_number(item, 0) for item in value.args))
    )


def is_gate(value: Any, gate: Any, names: tuple[str, ...] = ("gt", "ge")) -> bool:
    """Whether `gate` is (value > 0), possibly cast to a number."""
    while isinstance(gate, fx.Node) and operator_name(gate) in COPIES:
        gate = gate.args[0]
    if not isinstance(gate, fx.Node) or operator_name(gate) not in names:
        return False
    return gate.args[0] is value and (is_zero(gate.args[1]) or is_number(gate.args[1], 0))
