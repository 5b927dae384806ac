"""Networks whose upper layers are random again: what a picture has to notice if it is about what they learned.

Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 3 (arXiv:1810.03292): randomisation cascades downwards.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from convscope.models.functional import NORM
from convscope.models.graph import Graph, operator_name
from convscope.models.net import Net

WEIGHTED = frozenset(["conv2d", "conv_transpose2d", "linear", "addmm"])


@dataclass(frozen=True, eq=False)
class Weighted:
    """A layer with weights: a convolution or linear layer and the BatchNorms that read it, or another BatchNorm."""

    name: str
    node: fx.Node
    norms: tuple[fx.Node, ...]


def weighted_layers(net: Net, last: fx.Node) -> tuple[Weighted, ...]:
    """All of them up to a node, the topmost (last computed) first; each has weights of its own that the state holds."""
    graph, needed = net.graph, net.graph.needed([last])
    names = {layer.node: layer.name for layer in reversed(net.layers)}
    found = []
    for node in reversed(graph.nodes):
        alone = node.target is NORM and operator_name(node.all_input_nodes[0]) not in WEIGHTED
        if node in needed and (alone or operator_name(node) in WEIGHTED) and keys_of(graph, node):
            norms = tuple(user for user in node.users if user.target is NORM)
            value = next(iter(node.users)) if alone else node  # a BatchNorm gives a tuple
            found.append(Weighted(names.get(value, node.name), node, norms))
    return tuple(found)


def keys_of(graph: Graph, node: fx.Node) -> list[str]:
    """The names of the weights that a node reads, or that what it reads is made of (standardised weights)."""
    found: dict[str, None] = {}
    waiting = list(node.all_input_nodes)
    while waiting:
        source = waiting.pop(0)
        if source in graph.weights:
            found[graph.weights[source]] = None
        elif source not in graph.from_pixels:
            waiting.extend(source.all_input_nodes)
    return list(found)


def randomised(net: Net, layers: Sequence[Weighted], seed: int) -> Net:
    """A sibling whose layers are as before training: He's normal weights, biases 0, BatchNorms that change nothing."""
    fresh: dict[str, Tensor] = {}
    for layer in layers:
        for node in (layer.node, *layer.norms):
            fresh.update(untrained(net, node, seed))
    return net.sibling(fresh)


def untrained(net: Net, node: fx.Node, seed: int) -> Mapping[str, Tensor]:
    """New values of what a node reads; each name has a stream of its own, so that levels of a cascade agree."""
    graph, found = net.graph, {}
    sources = [(place, source) for place, source in enumerate(node.args) if isinstance(source, fx.Node)]
    places = {graph.weights[source]: place for place, source in sources if source in graph.weights}
    for key in keys_of(graph, node):
        old = net.weights[key]
        if node.target is NORM:  # input, gain, shift, mean, variance
            found[key] = torch.ones_like(old) if places.get(key) in (1, 4) else torch.zeros_like(old)
        elif not old.is_floating_point():
            continue
        elif old.ndim > 1:
            digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
            random = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
            fan = math.prod(old.shape[1:])
            found[key] = (torch.randn(old.shape, generator=random) * math.sqrt(2 / fan)).to(old)
        else:
            found[key] = torch.zeros_like(old)
    return found
