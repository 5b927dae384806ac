"""Networks whose upper layers are random again: what a picture has to notice if it is about what they learned.

Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 3 (arXiv:1810.03292): randomisation cascades downwards.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from convscope.models.graph import Graph, module_calls, operator_name
from convscope.models.net import Net

PRODUCTS = frozenset(["conv2d", "conv_transpose2d", "linear", "addmm"])
NORMS = frozenset(
    ["batch_norm", "layer_norm", "native_layer_norm", "group_norm", "native_group_norm", "instance_norm", "rms_norm"]
)
LEAK = 0.25  # of a PReLU, as torch begins


@dataclass(frozen=True, eq=False)
class Weighted:
    """A layer with weights: an operator that reads some, and the normalisations of what a convolution gives."""

    name: str
    node: fx.Node
    weights: Mapping[str, float | None]  # name in the state → what all of it is set to; None: He's normal weights


def weighted_layers(net: Net, last: fx.Node) -> tuple[Weighted, ...]:
    """All of them up to a node, the topmost (last computed) first. Shared weights belong to the topmost one alone."""
    graph, needed = net.graph, net.graph.needed([last])
    names = {layer.node: layer.name for layer in reversed(net.layers)}
    found, known = [], set[str]()
    for node in reversed(graph.nodes):
        if node not in needed or node not in graph.from_pixels or belongs(node):
            continue
        norms = [user for user in node.users if user in needed and belongs(user)]
        own = {key: value for one in (node, *norms) for key, value in untrained(net, one).items() if key not in known}
        if own:
            value = node if isinstance(node.meta["val"], Tensor) else next(iter(node.users))  # some give tuples
            path, _ = (module_calls(node) or [("", 1)])[-1]
            found.append(Weighted(names.get(value, path or next(iter(own))), node, own))
            known.update(own)
    return tuple(found)


def belongs(node: fx.Node) -> bool:
    """Whether a node normalises what a convolution or linear layer gives, and so is a part of that layer."""
    return operator_name(node) in NORMS and operator_name(node.all_input_nodes[0]) in PRODUCTS


def untrained(net: Net, node: fx.Node) -> dict[str, float | None]:
    """The weights that a node reads, or that what it reads is made of, with what they are before training."""
    found: dict[str, float | None] = {}
    name, schema = operator_name(node), getattr(node.target, "_schema", None)
    for place, argument in enumerate(schema.arguments if schema else ()):
        given = node.args[place] if place < len(node.args) else node.kwargs.get(argument.name)
        statistic = name in NORMS and argument.name.startswith("running_")
        for key in keys_of(net.graph, given):
            if (key in net.graph.learnt or statistic) and net.weights[key].is_floating_point():
                found.setdefault(key, initial(name, argument.name, net.weights[key].ndim))
    return found


def keys_of(graph: Graph, source: Any) -> list[str]:
    """The names of the weights that an argument is, or that it is made of (standardised weights)."""
    waiting: list[fx.Node] = []
    fx.node.map_arg(source, waiting.append)
    found: dict[str, None] = {}
    while waiting:
        node = waiting.pop(0)
        if node in graph.weights:
            found[graph.weights[node]] = None
        elif node not in graph.from_pixels:
            waiting.extend(node.all_input_nodes)
    return list(found)


def initial(operator: str, argument: str, axes: int) -> float | None:
    """What a weight is before training; None: normal. What only scales becomes 1, since nobody knows where it began."""
    if operator in NORMS:
        return 1.0 if argument in ("weight", "running_var") else 0.0
    if operator in ("prelu", "_prelu_kernel"):
        return LEAK
    if operator in ("mul", "div"):
        return 1.0
    return 0.0 if argument == "bias" or axes < 2 else None


def randomised(net: Net, layers: Sequence[Weighted], seed: int) -> Net:
    """A sibling whose layers are as before training: He's normal weights, biases 0, normalisations and scales 1."""
    return net.sibling({key: fresh(net, key, value, seed) for one in layers for key, value in one.weights.items()})


def fresh(net: Net, key: str, value: float | None, seed: int) -> Tensor:
    """A weight before training; each name has a stream of its own, so that levels of a cascade agree."""
    old = net.weights[key]
    if value is not None:
        return torch.full_like(old, value)
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    random = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
    return (torch.randn(old.shape, generator=random) * math.sqrt(2 / math.prod(old.shape[1:]))).to(old)
