"""How layers are joined: which layers each one reads, through whatever lies between them and is no layer."""

from collections.abc import Sequence

from torch import fx

from convscope.models.graph import Graph
from convscope.models.layers import Layer, holds_tensors

INPUT = "input"  # stands for the image itself


def wiring(graph: Graph, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
    """First name of every layer → the first names of the layers that it reads, and "input" for the image."""
    names = {layer.node: layer.name for layer in layers if layer.alias_of is None} | {graph.pixels: INPUT}
    reached: dict[fx.Node, tuple[str, ...]] = {graph.pixels: (INPUT,)}
    found = {}
    for node in graph.nodes:
        if node not in graph.from_pixels or not holds_tensors(node):
            continue  # what is made of the weights alone, or a number such as that of the images
        sources = [name for source in node.all_input_nodes for name in reached.get(source, ())]
        if node in names:
            found[names[node]] = tuple(dict.fromkeys(sources))
        reached[node] = (names[node],) if node in names else tuple(dict.fromkeys(sources))
    return found
