"""Guided backprop and deconvnet of Captum and of ours against the textbook's rule at every rectifier, however spelt.

The reference hooks nothing and knows no graph: while a copy of the network runs, torch's own functions (`F.relu`, its
kin) are exchanged for one whose way back is the rule. All numbers are float64, so that what is left is no rounding.
"""

import argparse
import copy
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from unittest.mock import patch

import torch
import torch.nn.functional as F
from captum.attr import Deconvolution, GuidedBackprop
from torch import Tensor, nn
from torchvision.models import get_model

import convscope
from convscope.errors import NoRule
from convscope.models.backward import Backward

Rule = Literal["guided", "deconvnet"]
CAPTUM: dict[Rule, Any] = {"guided": GuidedBackprop, "deconvnet": Deconvolution}
NETS = {  # px of the image
    "toy": 32, "alexnet": 96, "vgg16": 64, "resnet18": 64, "squeezenet1_0": 64, "googlenet": 64, "densenet121": 64,
    "inception_v3": 96, "mobilenet_v2": 64, "efficientnet_b0": 64, "convnext_tiny": 64,
}  # fmt: skip
WITHOUT = {"googlenet", "inception_v3"}  # are made without heads for training only
RIGHT = 1e-9  # a relative error below it is rounding


class Toy(nn.Module):
    """Three convolutions with F.relu between them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.three, self.head = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 10)

    def forward(self, maps: Tensor) -> Tensor:
        """N×3×H×W → N×10."""
        for layer in (self.one, self.two, self.three):
            maps = F.relu(layer(maps))
        found: Tensor = self.head(maps.mean((2, 3)))
        return found


class Textbook(torch.autograd.Function):
    """min(max(x, 0), high), whose way back is R · [R > 0], of guided backprop also · [0 < x < high]."""

    @staticmethod
    def forward(context: Any, given: Tensor, rule: Rule, high: float) -> Tensor:
        """The rectifier."""
        context.rule, context.high = rule, high
        context.save_for_backward(given)
        return given.clamp(0, high)

    @staticmethod
    def backward(context: Any, *signals: Tensor) -> tuple[Tensor, None, None]:
        """The rule, as it is written."""
        (given,) = context.saved_tensors
        found = signals[0] * (signals[0] > 0)
        if context.rule == "guided":
            found = found * ((given > 0) & (given < context.high))
        return found, None, None


@contextmanager
def textbook(rule: Rule) -> Iterator[list[float]]:
    """While it is open, torch's rectifiers go back by the rule; gives a list that grows by one for each call."""
    calls: list[float] = []

    def rectify(given: Tensor, high: float) -> Tensor:
        calls.append(high)
        found: Tensor = Textbook.apply(given, rule, high)
        return found

    def relu(given: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
        return rectify(given, float("inf"))

    def relu6(given: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
        return rectify(given, 6.0)

    def hardtanh(given: Tensor, min_val: float = -1, max_val: float = 1, inplace: bool = False) -> Tensor:  # noqa: ARG001
        assert min_val == 0
        return rectify(given, max_val)

    functions: list[tuple[Any, str, Callable[..., Tensor]]] = []
    functions += [(place, name, relu) for place in (F, torch, Tensor) for name in ("relu", "relu_")]
    functions += [(F, "relu6", relu6), (F, "hardtanh", hardtanh), (F, "hardtanh_", hardtanh)]
    patches = [patch.object(place, name, function) for place, name, function in functions]
    for one in patches:
        one.start()
    try:
        yield calls
    finally:
        for one in patches:
            one.stop()


def seeded(name: str, size: int) -> nn.Module:
    """A network with seeded random weights that let signals through, float64."""
    torch.manual_seed(0)
    options = {"aux_logits": False, "init_weights": False} if name in WITHOUT else {}
    module = Toy() if name == "toy" else get_model(name, weights=None, **options)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.5
        scale = getattr(part, "layer_scale", None)
        if isinstance(scale, nn.Parameter):
            nn.init.uniform_(scale, 0.5, 1)
    module.double().train()
    with torch.no_grad():
        for _ in range(3):
            module(torch.randn(4, 3, size, size, dtype=torch.float64))
    return module.eval().requires_grad_(False)


def gradient(module: nn.Module, image: Tensor, chosen: int) -> Tensor:
    """Of a score with respect to the image."""
    leaf = image.clone().requires_grad_()
    return torch.autograd.grad(module(leaf)[0, chosen], leaf)[0]


def reference(module: nn.Module, image: Tensor, chosen: int, rule: Rule) -> tuple[Tensor, str]:
    """The textbook's map, and how the network spells its rectifiers."""
    module = copy.deepcopy(module)
    as_modules: list[nn.Module] = []
    for part in module.modules():
        if isinstance(part, nn.ReLU | nn.Hardtanh):
            part.inplace = False
            part.register_forward_hook(lambda one, *_: as_modules.append(one))
    with textbook(rule) as calls:
        found = gradient(module, image, chosen)
    counts = {
        "nn.ReLU": sum(isinstance(one, nn.ReLU) for one in as_modules),
        "nn.ReLU6": sum(isinstance(one, nn.Hardtanh) for one in as_modules),
        "F.relu": len(calls) - len(as_modules),
    }
    return found, ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def ours(net: convscope.Net, image: Tensor, chosen: int, rule: Rule) -> Tensor:
    """Convscope's map. NoRule."""

    def start(value: Tensor) -> list[Tensor]:
        sent = torch.zeros_like(value)
        sent[0, chosen] = 1
        return [sent]

    return next(Backward(net, net.output_layer, rule).signals(image, start))


def error(found: Tensor, expected: Tensor) -> float:
    """Relative."""
    return float((found - expected).norm() / expected.norm())


def told(wrong: float) -> str:
    """A relative error as the table says it."""
    return "0" if wrong < RIGHT else f"{wrong:.2g}"


def compare(name: str, size: int) -> list[str]:
    """The row of a network."""
    module = seeded(name, size)
    net = convscope.Net(module, (0.0,) * 3, (1.0,) * 3, (size, size), name=name)
    image = torch.rand(1, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    chosen = int(module(image)[0].argmax())
    plain = gradient(module, image, chosen)
    spelt, cells = "", list[str]()
    for rule in CAPTUM:
        expected, spelt = reference(module, image, chosen, rule)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it sets hooks, said in every call
            theirs = CAPTUM[rule](copy.deepcopy(module)).attribute(image, chosen)
        same = error(theirs, plain) < RIGHT
        try:
            right = told(error(ours(net, image, chosen, rule), expected))
            cells += [told(error(theirs, expected)) + " (the plain gradient)" * same, right]
        except NoRule as refusal:
            counted = re.search(r"has no rule for (.*) of ", str(refusal))
            assert counted is not None
            spelt = counted[1].replace(" calls", "")
            cells += ["the plain gradient" if same else "a map", f"refused: {counted[1]}"]
    return [name, spelt, *cells]


def truth(names: tuple[str, ...] = tuple(NETS)) -> None:
    """Prints the table."""
    heads = ["network", "its rectifiers", "guided, Captum", "guided, ours", "deconvnet, Captum", "deconvnet, ours"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for name in names:
        print(f"| {' | '.join(compare(name, NETS[name]))} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--nets", nargs="+", default=list(NETS))
    torch.set_num_threads(1)
    truth(tuple(parser.parse_args().nets))
