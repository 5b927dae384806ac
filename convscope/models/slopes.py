"""Gradients of the scores at the units themselves, before their rectifiers."""

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from convscope.models.layers import SMOOTH
from convscope.models.net import Net
from convscope.models.rectifiers import is_rectifier, rectified


def gradients_before(net: Net, pixels: Tensor, names: Sequence[str], seed: int = 0) -> dict[str, Tensor]:
    """{layer: N×C×H×W or N×C}: the gradient, with respect to what enters an activation, of a mix of all scores.

    Of a layer that is no activation: with respect to its own value. The mix has seeded normal weights, so that it
    is 0 only where nothing leads from a place to any score.
    """
    layers = {name: net.layer(name) for name in names}
    nodes = {name: before(layer.node) for name, layer in layers.items()}
    wanted = tuple(dict.fromkeys([*nodes.values(), net.output_layer.node]))
    with torch.enable_grad():
        found = dict(zip(wanted, net.values(pixels.detach().clone().requires_grad_(), wanted), strict=True))
        scores = found[net.output_layer.node]
        weights = torch.randn(scores.shape[1], generator=torch.Generator().manual_seed(seed)).to(scores)
        reached = [node for node in wanted if found[node].requires_grad and scores.requires_grad]
        gradients: tuple[Tensor | None, ...] = ()
        if reached:  # scores that are counted or compared have no gradient at all
            inner = [found[node] for node in reached]
            gradients = torch.autograd.grad((scores * weights).sum(), inner, allow_unused=True)
    known = {node: gradient for node, gradient in zip(reached, gradients, strict=True) if gradient is not None}
    return {name: layers[name].ordered(known.get(node, torch.zeros_like(found[node]))) for name, node in nodes.items()}


def before(node: fx.Node) -> fx.Node:
    """What enters an activation; the node itself where it is none."""
    kind = getattr(getattr(node.target, "overloadpacket", None), "__name__", "")
    if not is_rectifier(node) and kind not in SMOOTH:
        return node
    shape = node.meta["val"].shape
    for source in [rectified(node)] if is_rectifier(node) else node.all_input_nodes:
        value = source.meta.get("val")
        if isinstance(value, Tensor) and value.is_floating_point() and value.shape == shape:
            return source
    return node
