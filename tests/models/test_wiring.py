"""Which layers each layer reads, on networks whose wiring is known."""

import pytest
import torch
from torch import Tensor, nn

import convscope
from convscope.models.wiring import INPUT, wiring


class Branches(nn.Module):
    """A stem, two branches that are joined, a shortcut, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 4, 1)
        self.right = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        start = torch.relu(self.stem(pixels))
        both = torch.cat([self.left(start), self.right(start) + start], 1)
        return self.head(both.mean((2, 3)))


def test_branches_and_shortcuts() -> None:
    net = convscope.Net(Branches(), size=(8, 8))
    found = wiring(net.graph, net.layers)
    assert found["stem"] == (INPUT,)
    assert found["/relu#1"] == ("stem",)
    assert found["left"] == found["right"] == ("/relu#1",)
    assert found["/add#1"] == ("right", "/relu#1")
    assert found["/cat#1"] == ("left", "/add#1")
    assert found["head"] == ("/mean#1",)


@pytest.mark.parametrize("name", ["torchvision:resnet18", "torchvision:googlenet", "torchvision:alexnet"])
def test_every_layer_is_reached_from_the_image(name: str) -> None:
    net = convscope.load(name, pretrained=False)
    found = wiring(net.graph, net.layers)
    firsts = [layer.name for layer in net.layers if layer.alias_of is None]
    assert list(found) == firsts
    place = {layer: at for at, layer in enumerate([INPUT, *firsts])}
    for layer, sources in found.items():
        assert sources, layer
        assert all(place[source] < place[layer] for source in sources)
    assert all(INPUT not in sources for layer, sources in found.items() if place[layer] > 1)  # only the first reads it
    if "resnet18" in name:
        assert found["layer2.0/add#1"] == ("layer2.0.bn2", "layer2.0.downsample")
