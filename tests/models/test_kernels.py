"""Which weights make a layer, found through the graph."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convscope
from convscope.models.kernels import find_kernels, weighted_layers
from tests.nets import Spellings, small_classifier


class Mixed(nn.Module):
    """Own normalisation, transposed and grouped convolutions, weight norm, permuted maps, flattened maps."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 5, padding=2)
        self.grouped = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(6, 4, 3, padding=1, groups=2)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 5, 3))
        self.norm = nn.GroupNorm(1, 5)
        self.pool = nn.MaxPool2d(3)
        self.head = nn.Linear(5 * 2 * 2, 6)
        self.bend = nn.GELU()
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem((x - 0.5) / 0.25)
        x = self.up(F.leaky_relu(self.grouped(F.relu(x)), 0.1))
        x = self.pool(self.norm(self.normed(x)).relu())
        x = F.dropout(x.flatten(1), training=self.training)
        return self.last(self.bend(self.head(x)))


class LastAxis(nn.Module):
    """A linear layer that reads a map flattened in the order rows, columns, channels; another spelt as a product."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=4)
        self.head = nn.Linear(4 * 2 * 2, 5)
        self.product = nn.Parameter(torch.arange(10.0).reshape(5, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x.flip(1)).permute(0, 2, 3, 1)
        return F.relu(self.head(x.flatten(1))) @ self.product


@pytest.fixture(scope="module")
def mixed() -> tuple[convscope.Net, Mixed]:
    module = Mixed().eval()
    return convscope.Net(module, size=(8, 8), name="mixed"), module


def test_weights_are_found_under_the_layer_and_behind_what_keeps_its_units() -> None:
    module = small_classifier()
    net = convscope.Net(module, size=(32, 32))
    for name in ("0", "1", "2"):  # the convolution, its BatchNorm, its ReLU
        found = find_kernels(net, name)
        assert found.layer == "0"
        assert torch.equal(found.weights, module[0].weight)
        assert (found.kind, found.first, found.groups, found.transposed) == ("conv2d", True, 1, False)
    assert find_kernels(net, "5").layer == "4"
    assert not find_kernels(net, "4").first
    assert weighted_layers(net) == ("0", "4", "9")
    assert find_kernels(net, "class").weights.shape == (4, 8, 1, 1)  # what it reads is one value a unit


def test_every_spelling_of_relu_leads_to_its_convolution() -> None:
    net = convscope.Net(Spellings(), size=(16, 16))
    found = {layer.name: find_kernels(net, layer.name).layer for layer in net.layers if layer.rectified}
    assert list(found.values()) == ["one", "two", "three", "four"]


@pytest.mark.parametrize(("name", "words"), [("3", "max_pool2d"), ("6", "adaptive_avg_pool2d"), ("7", "view")])
def test_a_layer_without_filters_is_refused_with_its_neighbours(name: str, words: str) -> None:
    net = convscope.Net(small_classifier(), size=(32, 32))
    with pytest.raises(convscope.BadAddress) as caught:
        find_kernels(
            net, name if name != "7" else next(one.name for one in net.layers if one.kind in ("view", "reshape"))
        )
    assert words in caught.value.problem
    assert "4" in caught.value.hint


def test_an_unknown_layer_and_a_sum_are_refused() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return (self.one(x) + self.two(x)).mean((2, 3))

    net = convscope.Net(Sum(), size=(8, 8))
    with pytest.raises(convscope.UnknownLayer, match="three"):
        find_kernels(net, "three")
    with pytest.raises(convscope.BadAddress, match="it is of the kind add"):
        find_kernels(net, "/add#1")


def test_groups_transposition_and_weights_that_are_computed(mixed: tuple[convscope.Net, Mixed]) -> None:
    net, module = mixed
    assert weighted_layers(net) == ("stem", "grouped", "up", "normed", "head", "last")
    assert find_kernels(net, "stem").first  # (x - 0.5) / 0.25 leaves the colours where they are
    grouped = find_kernels(net, "/leaky_relu#1")
    assert (grouped.layer, grouped.groups, tuple(grouped.weights.shape)) == ("grouped", 2, (6, 2, 3, 3))
    up = find_kernels(net, "up")
    assert (up.groups, up.transposed, tuple(up.weights.shape)) == (2, True, (4, 3, 3, 3))
    assert torch.equal(up.weights[3, 1], module.up.weight[4, 1])  # group 1: inputs 3 to 5, its second output
    assert torch.equal(find_kernels(net, "norm").weights, module.normed.weight)


def test_a_linear_layer_is_a_map_of_what_it_reads(mixed: tuple[convscope.Net, Mixed]) -> None:
    net, module = mixed
    head = find_kernels(net, "bend")
    assert (head.layer, head.kind, tuple(head.weights.shape)) == ("head", "linear", (6, 5, 2, 2))
    pooled = torch.rand(1, 5, 2, 2)
    by_map = (head.weights * pooled).sum((1, 2, 3)) + module.head.bias
    torch.testing.assert_close(by_map, module.head(pooled.flatten(1))[0])
    assert find_kernels(net, "last").weights.shape == (3, 6, 1, 1)


def test_a_map_flattened_in_another_order_is_read_in_that_order() -> None:
    module = LastAxis()
    net = convscope.Net(module, size=(8, 8))
    conv = find_kernels(net, "conv")
    assert not conv.first  # it reads blue, green, red
    head = find_kernels(net, "head").weights
    assert head.shape == (5, 4, 2, 2)
    value = torch.rand(1, 4, 2, 2)
    expected = module.head(value.permute(0, 2, 3, 1).reshape(1, -1))[0] - module.head.bias
    torch.testing.assert_close((head * value).sum((1, 2, 3)), expected)
    product = find_kernels(net, net.output_layer.name)
    assert torch.equal(product.weights[:, :, 0, 0], module.product.T)


def test_other_weights_and_no_trace() -> None:
    module = small_classifier()
    net = convscope.Net(module, size=(32, 32))
    state = {
        name: torch.zeros_like(value) if name == "0.weight" else value for name, value in module.state_dict().items()
    }
    assert not find_kernels(net.with_weights(state), "0").weights.any()
    find_kernels(net, "0").weights.zero_()
    assert net.weights["0.weight"].any()
    assert all(parameter.grad is None for parameter in module.parameters())
