"""Gradients at the units are those that autograd gives through hooks, and the network keeps no trace of them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convscope
from convscope.models.slopes import before, gradients_before
from tests.digits import untrained_digits
from tests.models.test_outputs import assert_same, state_of
from tests.nets import Does, small_classifier


class Plain(nn.Module):
    """Every activation is a module of its own, so that hooks see what enters it; one value has two readers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1) for i in range(3))
        self.norm = nn.BatchNorm2d(4)
        self.relu, self.relu6, self.silu, self.gelu = nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.GELU()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.one(x))
        y = self.silu(self.norm(self.two(x)))
        z = self.relu6(self.three(y) + x)
        return self.head(self.gelu(z.mean((2, 3)) * 3))


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "plain": (Plain, 8),
    "small classifier": (small_classifier, 16),
    "digits": (untrained_digits, 16),
}


def hooked(module: nn.Module, pixels: Tensor, names: list[str], seed: int = 0) -> dict[str, Tensor]:
    """The slow twin: what enters each module is caught by a hook and differentiated by autograd."""
    caught: dict[str, Tensor] = {}

    def catch(name: str) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
        def hook(part: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            value = given[0].clone()  # an activation in place would overwrite it
            value.retain_grad()
            caught[name] = value
            return (value.clone(),)

        return hook

    parts = dict(module.named_modules())
    handles = [parts[name].register_forward_pre_hook(catch(name)) for name in names]
    scores = module(pixels.clone().requires_grad_())
    weights = torch.randn(scores.shape[1], generator=torch.Generator().manual_seed(seed))
    (scores @ weights).sum().backward()
    for handle in handles:
        handle.remove()
    module.zero_grad()
    return {name: value.grad for name, value in caught.items() if value.grad is not None}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("seed", [0, 5])
def test_gradients_equal_those_of_hooks(name: str, seed: int) -> None:
    make, side = NETS[name]
    torch.manual_seed(3)
    module = make().eval()
    net = convscope.Net(module, size=(side, side))
    output = net.output_layer.name
    active = [layer for layer in net.watched_layers if layer != output]
    assert len(active) == {"plain": 4, "small classifier": 2, "digits": 2}[name]
    pixels = torch.rand(3, 3, side, side)
    found, expected = gradients_before(net, pixels, active, seed), hooked(module, pixels, active, seed)
    for layer in active:
        assert float(expected[layer].abs().max()) > 0
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-5, atol=1e-8)
        assert found[layer].shape == (3, *net.layer(layer).shape)


def test_of_the_scores_it_is_the_mix_itself() -> None:
    net = convscope.Net(small_classifier(), size=(16, 16))
    mix = torch.randn(4, generator=torch.Generator().manual_seed(0))
    found = gradients_before(net, torch.rand(2, 3, 16, 16), ["9"])["9"]
    assert torch.equal(found, mix.expand(2, 4))
    assert bool((mix != 0).all())


def test_a_layer_under_another_name_and_one_that_is_no_activation() -> None:
    net = convscope.Net(small_classifier(), size=(16, 16))
    pixels = torch.rand(2, 3, 16, 16)
    found = gradients_before(net, pixels, ["2", "1"])
    assert torch.equal(found["2"], found["1"])  # what enters the ReLU is the BatchNorm's value


def test_neither_module_nor_net_nor_pixels_keep_a_trace() -> None:
    module = small_classifier().train()
    net = convscope.Net(module, size=(16, 16))
    pixels = torch.rand(2, 3, 16, 16)
    before_, weights = state_of(module), {name: value.clone() for name, value in net.weights.items()}
    scores = net.scores(pixels)
    gradients = gradients_before(net, pixels, list(net.watched_layers))
    assert all(value.grad_fn is None and not value.requires_grad for value in gradients.values())
    assert_same(before_, state_of(module))
    assert all(torch.equal(value, weights[name]) for name, value in net.weights.items())
    assert all(value.grad is None and not value.requires_grad for value in net.weights.values())
    assert pixels.grad is None
    assert not pixels.requires_grad
    assert torch.equal(net.scores(pixels), scores)
    assert net.scores(pixels).grad_fn is None


def test_gradients_are_there_where_gradients_are_switched_off() -> None:
    net = convscope.Net(small_classifier(), size=(16, 16))
    pixels = torch.rand(2, 3, 16, 16)
    expected = gradients_before(net, pixels, ["2"])["2"]
    with torch.no_grad():
        assert torch.equal(gradients_before(net, pixels, ["2"])["2"], expected)
    assert torch.is_grad_enabled()


class Cut(nn.Module):
    """A detached backbone, a detached head, or scores that are counted."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.one(x))
        if self.where == "between":
            x = x.detach()
        x = F.relu(self.two(x)).mean((2, 3))
        if self.where == "head":
            x = x.detach()
        x = self.head(x)
        return (x > 0).float() if self.where == "scores" else x


@pytest.mark.parametrize(("where", "none"), [("between", False), ("head", False), ("scores", True)])
def test_a_detached_part_is_passed_and_counted_scores_have_no_gradient(where: str, none: bool) -> None:
    """Detached or run without gradients, it is one way of freezing: what matters to a score still has a gradient."""
    torch.manual_seed(0)
    net = convscope.Net(Cut(where), size=(8, 8))
    found = gradients_before(net, torch.rand(2, 3, 8, 8), ["/relu#1", "/relu#2"])
    assert [not value.any() for value in found.values()] == [none, none]
    pixels = torch.rand(1, 3, 8, 8, requires_grad=True)
    assert net.scores(pixels).requires_grad != none


class Spelt(nn.Module):
    """Rectifiers without a module: as a maximum, a gate, a choice and a clamp."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.maximum(x - 0.5, torch.zeros_like(x))
        x = (x - 0.1) * ((x - 0.1) > 0)
        x = torch.clamp(x - 0.05, min=0)
        x = torch.where(x > 0.05, x, torch.zeros_like(x))
        return x.mean((2, 3))


def test_what_enters_a_rectifier_is_found_in_every_spelling() -> None:
    net = convscope.Net(Spelt(), size=(8, 8))
    for layer in net.layers:
        if layer.rectified:
            entering = before(layer.node)
            assert entering is not layer.node, layer.name
            assert entering in layer.node.all_input_nodes


@pytest.mark.parametrize(
    "rectify",
    [
        lambda x: torch.maximum(torch.zeros_like(x), x),
        lambda x: torch.where(x <= 0, torch.zeros_like(x), x),
        lambda x: (x > 0).float() * x,
    ],
)
def test_what_enters_is_neither_the_zeros_nor_the_mask(rectify: Callable[[Tensor], Tensor]) -> None:
    module = Does(lambda self, x: rectify(self.conv(x)).mean((2, 3)), conv=nn.Conv2d(3, 2, 3))
    net = convscope.Net(module, size=(9, 9))
    (rectified,) = (layer for layer in net.layers if layer.rectified and layer.alias_of is None)
    assert before(rectified.node) is net.layer("conv").node
