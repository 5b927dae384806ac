"""Where a network normalises responses locally: x / (k + α · mean of x² over neighbouring units)^β.

Krizhevsky et al. 2012, ImageNet Classification with Deep CNNs, section 3.3. The graph holds it as a dozen operators.
"""

from collections.abc import Iterable

from torch import fx

from convscope.models.graph import operator_name

BETWEEN = frozenset(
    ["add", "mul", "view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "pad", "constant_pad_nd", "clone"]
)
POOLS = ("avg_pool2d", "avg_pool3d")


def find_response_norms(nodes: Iterable[fx.Node]) -> dict[fx.Node, fx.Node]:
    """The last node of each local response normalisation → what it normalises."""
    found = {}
    for node in nodes:
        if operator_name(node) not in ("div", "mul"):
            continue
        for source, scale in (node.args[:2], node.args[1::-1]):
            if isinstance(source, fx.Node) and isinstance(scale, fx.Node) and is_scale(scale, source):
                found[node] = source
    return found


def is_scale(scale: fx.Node, source: fx.Node) -> bool:
    """Whether one value is (k + α · mean of squares)^β of another."""
    if operator_name(scale) != "pow":
        return False
    node, pooled = scale.args[0], False
    while isinstance(node, fx.Node):
        name = operator_name(node)
        if is_square(node, source):
            return pooled
        if name not in BETWEEN and name not in POOLS:
            return False
        pooled = pooled or name in POOLS
        node = next((one for one in node.all_input_nodes if operator_name(one) != "sym_size"), None)
    return False


def is_square(node: fx.Node, source: fx.Node) -> bool:
    """Whether one value is the square of another."""
    name = operator_name(node)
    if name == "mul":
        return all(one is source for one in node.args[:2])
    return (name == "square" and node.args[0] is source) or (name == "pow" and node.args[:2] == (source, 2))
