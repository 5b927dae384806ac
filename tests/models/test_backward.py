"""Three rules, however a network spells its rectifiers; refusals where there is no rule; networks are left as they were."""

import copy
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from captum.attr import Deconvolution, GuidedBackprop, Saliency
from torch import Tensor, nn

import convscope
from convscope import Net, NoRule
from convscope.arrays import Place
from convscope.models.backward import Backward, Rule, send_back
from convscope.models.starts import find_starts
from convscope.techniques.gradient import deconvnet, guided_backprop, saliency
from tests.nets import Does, Spellings, small_classifier

RULES: tuple[Rule, ...] = ("gradient", "deconvnet", "guided")
EXACT = 1e-9
SIZE = (6, 7)


class Textbook(torch.autograd.Function):
    """A rectifier as the papers have it; slope: below 0."""

    @staticmethod
    def forward(context: Any, x: Tensor, rule: str, slope: float, ceiling: float) -> Tensor:
        context.save_for_backward(x)
        context.options = rule, slope, ceiling
        return torch.where(x > 0, x, slope * x).clamp(max=ceiling)

    @staticmethod
    def backward(context: Any, *signals: Tensor) -> tuple[Tensor, None, None, None]:
        (x,), (rule, slope, ceiling) = context.saved_tensors, context.options
        signal = signals[0]
        if rule == "gradient":
            signal = signal * torch.where(x > 0, torch.ones_like(x), slope) * (x < ceiling)
        if rule == "guided":
            signal = signal * ((x > 0) & (x < ceiling))
        return signal if rule == "gradient" else signal.clamp(min=0), None, None, None


def textbook(x: Tensor, rule: Rule, slope: float = 0.0, ceiling: float = torch.inf) -> Tensor:
    found: Tensor = Textbook.apply(x, rule, slope, ceiling)
    return found


def signal_of(net: Net, rule: Rule, pixels: Tensor, start: Tensor, layer: str = "class") -> Tensor:
    (found,) = Backward(net, net.layer(layer), rule).signals(pixels, lambda _: [start])
    return found


def between(activation: Callable[[Any, Tensor], Tensor], **parts: Any) -> Does:
    """A function between two convolutions whose second gives signals of both signs."""
    torch.manual_seed(0)
    one, two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3)
    with torch.no_grad():
        one.weight.mul_(4)  # so that ceilings are met
    made = Does(lambda s, x: s.two(activation(s, s.one(x))).sum((2, 3)), one=one, two=two, **parts)
    return made.double().eval()


def expected_of(module: Does, pixels: Tensor, start: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """The same net with another activation, by autograd."""
    given = pixels.clone().requires_grad_()
    scores = module.two(activation(module.one(given))).sum((2, 3))
    return torch.autograd.grad(scores, given, start)[0]


def numbers() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(1, 3, *SIZE, dtype=torch.float64), torch.tensor([[1.0, -2.0, 0.5, -0.3]], dtype=torch.float64)


SPELLINGS: dict[str, tuple[Callable[[Any, Tensor], Tensor], dict[str, Any], float, float]] = {
    "nn.ReLU": (lambda s, x: s.act(x), {"act": nn.ReLU()}, 0, torch.inf),
    "nn.ReLU in place": (lambda s, x: s.act(x), {"act": nn.ReLU(inplace=True)}, 0, torch.inf),
    "F.relu": (lambda s, x: F.relu(x), {}, 0, torch.inf),
    "torch.relu": (lambda s, x: torch.relu(x), {}, 0, torch.inf),
    "Tensor.relu_": (lambda s, x: x.relu_(), {}, 0, torch.inf),
    "nn.ReLU6": (lambda s, x: s.act(x), {"act": nn.ReLU6(inplace=True)}, 0, 6),
    "F.relu6": (lambda s, x: F.relu6(x), {}, 0, 6),
    "hardtanh from 0": (lambda s, x: F.hardtanh(x, 0, 2.5), {}, 0, 2.5),
    "hardtanh in place": (lambda s, x: F.hardtanh(x, 0.0, 2.0, inplace=True), {}, 0, 2),
    "clamp from 0": (lambda s, x: x.clamp(min=0), {}, 0, torch.inf),
    "clamp between": (lambda s, x: torch.clamp(x, 0, 2), {}, 0, 2),
    "clamp_min": (lambda s, x: x.clamp_min(0), {}, 0, torch.inf),
    "clip in place": (lambda s, x: x.clip_(0.0), {}, 0, torch.inf),
    "threshold": (lambda s, x: F.threshold(x, 0, 0), {}, 0, torch.inf),
    "maximum": (lambda s, x: torch.maximum(x, torch.zeros_like(x)), {}, 0, torch.inf),
    "maximum, 0 first": (lambda s, x: torch.max(x.new_zeros(()), x), {}, 0, torch.inf),
    "maximum with a constant": (lambda s, x: torch.max(x, torch.tensor(0.0)), {}, 0, torch.inf),
    "constant first": (lambda s, x: torch.fmax(torch.tensor([0.0]).double(), x), {}, 0, torch.inf),
    "where with a constant": (lambda s, x: torch.where(x > torch.tensor(0.0), x, torch.tensor(0.0).double()), {}, 0, torch.inf),
    "fmax": (lambda s, x: torch.fmax(x, torch.zeros(1, dtype=x.dtype)), {}, 0, torch.inf),
    "product": (lambda s, x: x * (x > 0), {}, 0, torch.inf),
    "product in place": (lambda s, x: x.mul_(x >= 0), {}, 0, torch.inf),
    "product of numbers": (lambda s, x: (x > 0).to(x.dtype).detach() * x, {}, 0, torch.inf),
    "where": (lambda s, x: torch.where(x > 0, x, 0), {}, 0, torch.inf),
    "where of zeros": (lambda s, x: torch.where(x > 0, x, torch.zeros_like(x)), {}, 0, torch.inf),
    "where, turned": (lambda s, x: torch.where(x <= 0, 0.0, x), {}, 0, torch.inf),
    "masked_fill": (lambda s, x: x.masked_fill(x < 0, 0), {}, 0, torch.inf),
    "LeakyReLU": (lambda s, x: s.act(x), {"act": nn.LeakyReLU(0.2, inplace=True)}, 0.2, torch.inf),
    "F.leaky_relu": (lambda s, x: F.leaky_relu(x, 0.3), {}, 0.3, torch.inf),
    "PReLU": (lambda s, x: s.act(x), {"act": nn.PReLU(4, init=0.125)}, 0.125, torch.inf),
    "RReLU": (lambda s, x: s.act(x), {"act": nn.RReLU(0.1, 0.3)}, 0.2, torch.inf),
    "no gradient through it": (lambda s, x: F.relu(x.detach()).detach(), {}, 0, torch.inf),
    "overwritten product": (lambda s, x: (x * (x > 0)).add_(s.more(x)) - s.more(x), {"more": nn.Conv2d(4, 4, 1)}, 0, torch.inf),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy) if at % 5 else name for at, name in enumerate(SPELLINGS)]
)
def test_every_spelling_follows_the_textbook(name: str) -> None:
    activation, parts, slope, ceiling = SPELLINGS[name]
    module = between(activation, **copy.deepcopy(parts))
    net = Net(module, size=SIZE)
    pixels, start = numbers()
    found = {}
    for rule in RULES:
        found[rule] = signal_of(net, rule, pixels, start)
        expected = expected_of(module, pixels, start, lambda x, rule=rule: textbook(x, rule, slope, ceiling))  # type: ignore[misc]
        assert float((found[rule] - expected).abs().max()) <= EXACT * float(expected.abs().max()), rule
        assert len(Backward(net, net.output_layer, rule).rectifiers) == 1
    for one, other in (("gradient", "deconvnet"), ("gradient", "guided"), ("deconvnet", "guided")):
        assert float((found[one] - found[other]).abs().max()) > 0.01 * float(found[one].abs().max())


def test_one_module_for_all_rectifiers_of_a_net() -> None:
    torch.manual_seed(4)
    module = Spellings().double()
    for part in (module.one, module.two, module.three, module.four):
        nn.init.constant_(part.bias, 0.3)
    net = Net(module, size=SIZE)
    pixels, _ = numbers()
    start = torch.tensor([[1.0, -1.0, 2.0, 0.5, -0.7]], dtype=torch.float64)
    for rule in RULES:
        given = pixels.clone().requires_grad_()
        x = given
        for part in (module.one, module.two, module.three, module.four):
            x = textbook(part(x), rule)
        (expected,) = torch.autograd.grad(module.head(x.mean((2, 3))), given, start)
        found = signal_of(net, rule, pixels, start)
        assert len(Backward(net, net.output_layer, rule).rectifiers) == 4
        assert float((found - expected).abs().max()) <= EXACT * float(expected.abs().max())
        assert float(found.abs().max()) > 0


@pytest.mark.parametrize(
    ("rule", "expected"), [("gradient", [10, 0, 0, 10]), ("deconvnet", [10] * 4), ("guided", [10, 0, 0, 10])]
)
def test_xpliques_triple(rule: Rule, expected: list[int]) -> None:
    """A rectifier and ten times what it gives, at 5, 0, −5 and 10."""
    net = four(10 * torch.eye(4))
    pixels = torch.tensor([0.75, 0.5, 0.25, 1.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)  # 20·x − 10 is 5, 0, −5, 10
    found = signal_of(net, rule, pixels, torch.ones(1, 4))
    assert (found[0, 0].flatten() / 20).tolist() == expected
    assert not found[0, 1:].any()


def four(weight: Tensor) -> Net:
    """A rectifier of 20 · red − 10 at four pixels, and a matrix."""
    net = Net(nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU(), nn.Conv2d(1, 4, 2, bias=False), nn.Flatten()), size=(2, 2))
    red = {"0.weight": torch.tensor([20.0, 0, 0]).view(1, 3, 1, 1), "0.bias": torch.tensor([-10.0])}
    return net.with_weights({**red, "2.weight": weight.view(4, 1, 2, 2)})


def test_signals_of_both_signs_are_rectified() -> None:
    cases: list[tuple[Rule, list[int]]] = [
        ("gradient", [-1, 0, 0, 2]),
        ("deconvnet", [0, 3, 0, 2]),
        ("guided", [0, 0, 0, 2]),
    ]
    for rule, expected in cases:
        pixels = torch.tensor([0.75, 0.25, 0.5, 1.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
        found = signal_of(four(torch.eye(4)), rule, pixels, torch.tensor([[-1.0, 3, 0, 2]]))
        assert (found[0, 0].flatten() / 20).tolist() == expected


def zeroed(_: Any, x: Tensor) -> Tensor:
    """What is below 0, set to 0."""
    x = x.clone()
    x[x < 0] = 0
    return x


def hand_made() -> dict[str, tuple[Callable[[Any, Tensor], Tensor], str]]:
    """Activations without a rule, and what the refusal calls them."""
    return {
        "GELU": (lambda s, x: F.gelu(x), "1 gelu call"),
        "SiLU": (lambda s, x: F.silu(x, inplace=True), "1 silu call"),
        "Hardswish": (lambda s, x: F.hardswish(x), "1 hardswish call"),
        "Mish": (lambda s, x: F.mish(x), "1 mish call"),
        "ELU": (lambda s, x: F.elu(x), "1 elu call"),
        "SELU and CELU": (lambda s, x: F.selu(x) + F.celu(x, 0.5), "selu call"),
        "hardtanh": (lambda s, x: F.hardtanh(x, -1, 1), "1 hardtanh call"),
        "clamp": (lambda s, x: x.clamp(-1, 1), "1 clamp call"),
        "clamp from elsewhere": (lambda s, x: x.clamp(min=0.1), "clamp"),
        "threshold": (lambda s, x: F.threshold(x, 0.1, 0), "1 threshold call"),
        "tanh": (lambda s, x: x.tanh(), "1 tanh call"),
        "sigmoid": (lambda s, x: x.sigmoid(), "1 sigmoid call"),
        "softplus": (lambda s, x: F.softplus(x), "1 softplus call"),
        "softsign": (lambda s, x: F.softsign(x), " call"),
        "tanhshrink": (lambda s, x: F.tanhshrink(x), "1 tanh call"),
        "hardshrink": (lambda s, x: F.hardshrink(x), "1 hardshrink call"),
        "softshrink": (lambda s, x: F.softshrink(x), "1 softshrink call"),
        "log-sigmoid": (lambda s, x: F.logsigmoid(x), "1 log_sigmoid"),
        "logaddexp": (lambda s, x: torch.logaddexp(x, torch.zeros_like(x)), "1 logaddexp call"),
        "SiLU by hand": (lambda s, x: x * x.sigmoid(), "sigmoid call"),
        "quick GELU": (lambda s, x: x * torch.sigmoid(1.702 * x), "sigmoid call"),
        "GELU by hand": (lambda s, x: x * 0.5 * (1 + torch.erf(x / 2**0.5)), "1 erf call"),
        "ReLU from |x|": (lambda s, x: (x + x.abs()) / 2, "1 abs call"),
        "Hardswish by hand": (lambda s, x: x * F.relu6(x + 3) / 6, "mul call"),
        "Hardswish by clamp": (lambda s, x: x * (x / 6 + 0.5).clamp(0, 1), "mul call"),
        "leaky by hand": (lambda s, x: torch.max(x, 0.1 * x), "1 maximum call"),
        "leaky by where": (lambda s, x: torch.where(x > 0, x, 0.1 * x), "1 where call"),
        "Mish by hand": (lambda s, x: x * torch.tanh(F.softplus(x)), "tanh call"),
        "maximum with a buffer": (lambda s, x: torch.maximum(x, s.zero), "1 maximum call"),
        "maximum with another constant": (lambda s, x: torch.maximum(x, torch.tensor(0.1)), "1 maximum call"),
        "where with another constant": (lambda s, x: torch.where(x > 0, x, torch.tensor(0.1).double()), "1 where call"),
        "product from elsewhere": (lambda s, x: x * (x > 0.5), "1 mul call"),
        "product of numbers from elsewhere": (lambda s, x: x * (x > 0.5).float(), "1 mul call"),
        "where from elsewhere": (lambda s, x: torch.where(x > 0.1, x, 0), "1 where call"),
        "filled with another number": (lambda s, x: x.masked_fill(x < 0, -1), "1 masked_fill call"),
        "ReLU and its own square": (lambda s, x: x * F.relu(x), "1 mul call"),
        "root of a square": (lambda s, x: (x + torch.sqrt(x * x + 1e-3)) / 2, "1 sqrt call"),
        "square to the power of a half": (lambda s, x: (x + (x**2 + 1e-3) ** 0.5) / 2, "1 pow call"),
        "less the minimum": (lambda s, x: x - torch.minimum(x, torch.zeros_like(x)), "1 minimum call"),
        "GLU of itself": (lambda s, x: F.glu(torch.cat([x, x], 1), 1), "1 glu call"),
        "greatest of a stack with itself": (lambda s, x: torch.stack([x, 0 * x]).amax(0), "1 amax call"),
        "greatest of a stack with zeros": (lambda s, x: torch.stack([x, torch.zeros_like(x)], -1).max(-1)[0], "1 max call"),
        "index": (zeroed, "1 index_put call"),
        "SiLU through BatchNorm": (lambda s, x: x * s.norm(x).sigmoid(), "1 sigmoid call and 1 mul call"),
        "attention": (lambda s, x: F.scaled_dot_product_attention(x, x, x), "1 scaled_dot_product_attention call"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy) if at % 9 else name for at, name in enumerate(hand_made())]
)
def test_what_has_no_rule_is_refused_and_saliency_works(name: str) -> None:
    activation, text = hand_made()[name]
    module = between(activation)
    module.register_buffer("zero", torch.zeros(1, dtype=torch.float64))
    module.norm = nn.BatchNorm2d(4).double().eval()
    net = Net(module, size=SIZE, name="odd")
    pixels, start = numbers()
    for rule in ("deconvnet", "guided"):
        with pytest.raises(NoRule) as refused:
            Backward(net, net.output_layer, rule)  # type: ignore[arg-type]
        assert text in refused.value.problem
        assert "of odd: " in refused.value.problem
        assert "saliency works on every network" in refused.value.hint
    expected = expected_of(module, pixels, start, lambda x: activation(module, x.clone()))
    found = signal_of(net, "gradient", pixels, start)
    assert float((found - expected).abs().max()) <= EXACT * float(expected.abs().max())
    result = saliency(net, pixels[0], 0)
    assert float(result.map.max()) > 0


def test_a_refusal_counts_and_names_what_it_is_about() -> None:
    convolutions = [nn.Conv2d(3, 3, 1) for _ in range(9)]
    parts = [part for one in convolutions for part in (one, nn.GELU())]
    net = Net(nn.Sequential(*parts, nn.SiLU(), nn.ReLU(), nn.Flatten(), nn.Linear(126, 2)), size=SIZE, name="mixed")
    with pytest.raises(NoRule) as refused:
        guided_backprop(net, torch.rand(3, *SIZE), 0)
    assert str(refused.value) == (
        "guided backprop has no rule for 9 gelu calls and 1 silu call of mixed: 1, 3, 5, 7, 9, 11, … (4 more)\n\n"
        "hint: both rules are about rectifiers (ReLU, ReLU6, leaky ReLU, max(x, 0)); saliency works on every network"
    )
    with pytest.raises(NoRule, match=r"^a deconvnet has no rule for 1 gelu call of mixed: 1\n"):
        deconvnet(net, torch.rand(3, *SIZE), "2:1")  # only what lies before the layer counts
    assert deconvnet(net, torch.rand(3, *SIZE), "0:1").rectifiers == (0,)


GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hardsigmoid": F.hardsigmoid,
    "relu6": lambda y: F.relu6(y + 3) / 6,
    "clamp": lambda y: (0.2 * y + 0.5).clamp(0, 1),
    "tanh": lambda y: 1 + torch.tanh(y),
    "softmax": lambda y: y.softmax(1),
}


@pytest.mark.parametrize(
    "name", [name if at % 2 else pytest.param(name, marks=pytest.mark.heavy) for at, name in enumerate(GATES)]
)
def test_gates_take_the_true_gradient_and_rectifiers_within_them_the_rule(name: str) -> None:
    gate = GATES[name]
    torch.manual_seed(3)
    parts = {"one": nn.Conv2d(3, 4, 3), "down": nn.Linear(4, 3), "up": nn.Linear(3, 4), "two": nn.Conv2d(4, 4, 2)}

    def forward(s: Any, x: Tensor, rectify: Callable[[Tensor], Tensor] = F.relu) -> Tensor:
        x = rectify(s.one(x))
        share = gate(s.up(rectify(s.down(x.mean((2, 3))))))
        return s.two(x * share[:, :, None, None]).sum((2, 3))  # type: ignore[no-any-return]

    module = Does(forward, **parts).double()
    with torch.no_grad():
        module.down.bias.copy_(torch.tensor([0.5, -5.0, 0.7]))  # one of its rectifiers is shut
    net = Net(module, size=SIZE)
    pixels, start = numbers()
    for rule in RULES:
        given = pixels.clone().requires_grad_()
        scores = forward(module, given, lambda x, rule=rule: textbook(x, rule))  # type: ignore[misc]
        (expected,) = torch.autograd.grad(scores, given, start)
        found = signal_of(net, rule, pixels, start)
        assert float((found - expected).abs().max()) <= EXACT * float(expected.abs().max())
        assert len(Backward(net, net.output_layer, rule).rectifiers) == 2


def test_squeeze_and_excite_as_everybody_writes_it() -> None:
    """With `view` to the number of images, and `expand_as`."""

    def forward(s: Any, x: Tensor, rectify: Callable[[Tensor], Tensor] = F.relu) -> Tensor:
        x = rectify(s.one(x))
        images, channels = x.shape[:2]
        share = s.up(rectify(s.down(F.adaptive_avg_pool2d(x, 1).view(images, channels)))).sigmoid()
        return s.two(x * share.view(images, channels, 1, 1).expand_as(x)).sum((2, 3))  # type: ignore[no-any-return]

    torch.manual_seed(3)
    parts = {"one": nn.Conv2d(3, 4, 3), "down": nn.Linear(4, 3), "up": nn.Linear(3, 4), "two": nn.Conv2d(4, 4, 2)}
    module = Does(forward, **parts).double()
    net = Net(module, size=SIZE)
    pixels, start = numbers()
    for rule in RULES:
        given = pixels.clone().requires_grad_()
        scores = forward(module, given, lambda x, rule=rule: textbook(x, rule))  # type: ignore[misc]
        (expected,) = torch.autograd.grad(scores, given, start)
        found = signal_of(net, rule, pixels, start)
        assert float((found - expected).abs().max()) <= EXACT * float(expected.abs().max())


def test_what_is_scaled_by_a_gate_is_a_rectifier_nevertheless() -> None:
    """A ReLU6 whose values only a gate scales is no gate itself."""
    torch.manual_seed(3)
    parts = {"one": nn.Conv2d(3, 4, 3), "gate": nn.Conv2d(3, 4, 3)}
    module = Does(lambda s, x: (F.relu6(s.one(x)) * s.gate(x).sigmoid()).sum((2, 3)), **parts).double()
    net = Net(module, size=SIZE)
    pixels, start = numbers()
    for rule in RULES:
        given = pixels.clone().requires_grad_()
        scores = (textbook(module.one(given), rule, ceiling=6) * module.gate(given).sigmoid()).sum((2, 3))
        (expected,) = torch.autograd.grad(scores, given, start)
        found = signal_of(net, rule, pixels, start)
        assert float((found - expected).abs().max()) <= EXACT * float(expected.abs().max())


UNBENT: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "deviation": lambda s, x: x / (((x - x.mean(1, True)) ** 2).mean(1, True) + 1e-3).sqrt(),
    "deviation from two means": lambda s, x: x / ((x * x).mean((2, 3), True) - x.mean((2, 3), True) ** 2 + 1).sqrt(),
    "RMS": lambda s, x: x * ((x**2).mean(1, True) + 1e-3).rsqrt(),
    "mean of powers": lambda s, x: x * (F.avg_pool2d(F.relu(x) ** 3, 3, 1, 1) + 1e-3) ** (1 / 3),
    "GLU of two maps": lambda s, x: F.glu(s.more(x), 1),
    "maxout": lambda s, x: s.more(x).unflatten(1, (4, 2)).amax(2),
    "greatest of two maps": lambda s, x: torch.stack([s.other(x), x]).amax(0),
    "greatest place of both signs": lambda s, x: torch.cat([x, -x], 1).amax((2, 3), True)[:, :4] + x,
    "index that is known": lambda s, x: torch.ops.aten.index_put.default(x, [None, torch.tensor([0, 2])], torch.zeros((), dtype=x.dtype)),
    "gate through BatchNorm": lambda s, x: x * s.norm(s.other(x)).sigmoid(),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [name if at % 3 == 0 else pytest.param(name, marks=pytest.mark.heavy) for at, name in enumerate(UNBENT)]
)
def test_what_only_divides_chooses_or_scales_is_not_refused(name: str) -> None:
    parts = {"more": nn.Conv2d(4, 8, 1), "other": nn.Conv2d(4, 4, 1), "norm": nn.BatchNorm2d(4)}
    net = Net(between(UNBENT[name], **parts), size=SIZE)
    for rule in ("deconvnet", "guided"):
        Backward(net, net.output_layer, rule)  # type: ignore[arg-type]


def test_vectors_brought_to_length_one_are_not_refused() -> None:
    parts = {"one": nn.Conv2d(3, 4, 3), "end": nn.Linear(4, 4)}
    module = Does(lambda s, x: s.end(F.normalize(F.relu(s.one(x)).mean((2, 3)))), **parts).double()
    net = Net(module, size=SIZE)
    pixels, start = numbers()
    given = pixels.clone().requires_grad_()
    scores = module.end(F.normalize(textbook(module.one(given), "guided").mean((2, 3))))
    (expected,) = torch.autograd.grad(scores, given, start)
    torch.testing.assert_close(signal_of(net, "guided", pixels, start), expected, rtol=1e-9, atol=1e-12)


def test_a_unit_that_stands_at_its_ceiling_still_gives_a_signal() -> None:
    net = Net(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU6(), nn.Flatten(), nn.Linear(84, 2)), size=SIZE)
    weights = {"0.weight": torch.full((2, 3, 1, 1), 4.0), "0.bias": torch.zeros(2)}
    net = net.with_weights({**net.weights, **weights})
    pixels = torch.full((3, *SIZE), 0.9)
    for result in (deconvnet(net, pixels, "1:0@2,3"), guided_backprop(net, pixels, "1:0@2,3")):
        start = 6.0 if result.method == "deconvnet" else 1.0
        assert result.values == (6.0,)
        assert result.signal[:, 2, 3].tolist() == [4 * start] * 3
        assert int((result.signal != 0).sum()) == 3
    assert not saliency(net, pixels, "1:0@2,3").map.any()  # a gradient it has none
    assert not guided_backprop(net, pixels, 0).signal.any()  # further on nothing passes what no longer changes


def test_without_rectifiers_all_three_are_the_same() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 4))
    net = Net(module.double(), size=SIZE)
    pixels, start = numbers()
    gradient, *others = (signal_of(net, rule, pixels, start) for rule in RULES)
    assert float(gradient.abs().max()) > 0
    assert all(torch.equal(gradient, other) for other in others)
    assert guided_backprop(net, pixels[0], 0).rectifiers == (0,)


def test_positive_networks_give_the_same_thrice() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 4), nn.ReLU())
    for parameter in module.parameters():
        nn.init.uniform_(parameter, 0.1, 1)
    net = Net(module.double(), size=SIZE)
    pixels, _ = numbers()
    gradient, *others = (signal_of(net, rule, pixels, torch.ones(1, 4).double()) for rule in RULES)
    assert all(torch.equal(gradient, other) for other in others)


def test_a_linear_net_has_its_weights() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(126, 3))
    net = Net(module, (0.1, 0.2, 0.3), (0.5, 0.25, 2.0), SIZE)
    weights = module[1].weight.detach().view(3, 3, *SIZE) / torch.tensor([0.5, 0.25, 2.0]).view(3, 1, 1)
    for seed in range(2):
        result = saliency(net, torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(seed)), [0, 1, 2])
        torch.testing.assert_close(result.gradient, weights, rtol=1e-6, atol=0)
        torch.testing.assert_close(result.map, weights.abs().amax(1), rtol=1e-6, atol=0)


@pytest.mark.parametrize("activation", [F.relu, F.gelu, F.silu, torch.tanh])
def test_gradients_are_finite_differences(activation: Callable[[Tensor], Tensor]) -> None:
    net = Net(between(lambda s, x: activation(x)), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), SIZE)
    pixels, start = numbers()
    found, step = signal_of(net, "gradient", pixels, start), 1e-6
    for place in torch.randperm(pixels.numel(), generator=torch.Generator().manual_seed(0))[:20].tolist():
        moved = torch.zeros(pixels.numel(), dtype=torch.float64)
        moved[place] = step
        up, down = (float((net.scores(pixels + sign * moved.view_as(pixels)) * start).sum()) for sign in (1, -1))
        assert float(found.flatten()[place]) == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6)


def test_several_images_and_starts_at_once() -> None:
    net = Net(small_classifier().double(), size=(12, 10))
    torch.manual_seed(0)
    pixels = torch.rand(3, 3, 12, 10, dtype=torch.float64)
    starts = [torch.randn(3, 8, 6, 5, dtype=torch.float64) for _ in range(2)]
    for rule in RULES:
        together = list(Backward(net, net.layer("5"), rule).signals(pixels, lambda _: starts))
        for number, start in enumerate(starts):
            for image in range(3):
                alone = signal_of(net, rule, pixels[image : image + 1], start[image : image + 1], "5")
                torch.testing.assert_close(together[number][image : image + 1], alone, rtol=1e-10, atol=1e-12)


def test_two_threads_with_different_rules_at_once() -> None:
    net = Net(small_classifier().double(), size=(24, 20))
    torch.manual_seed(0)
    pixels, start = torch.rand(1, 3, 24, 20, dtype=torch.float64), torch.tensor([[1.0, -1.0, 0.5, 2.0]]).double()
    expected = {rule: signal_of(net, rule, pixels, start) for rule in RULES}
    wrong: list[str] = []
    gate = threading.Barrier(3)

    def work(rule: Rule) -> None:
        gate.wait()
        wrong.extend(rule for _ in range(10) if not torch.equal(signal_of(net, rule, pixels, start), expected[rule]))

    threads = [threading.Thread(target=work, args=(rule,)) for rule in RULES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not torch.equal(expected["gradient"], expected["guided"])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_signals_come_also_where_gradients_are_off(mode: Callable[[], Any]) -> None:
    net = Net(small_classifier(), size=(12, 10))
    image = torch.rand(3, 12, 10)
    for technique in (saliency, deconvnet, guided_backprop):
        expected = technique(net, image, ["5:1", 2])
        with mode():
            found = technique(net, image, ["5:1", 2])
        for name in ("gradient", "map", "signal"):
            if hasattr(expected, name):
                assert torch.equal(getattr(found, name), getattr(expected, name))
                assert float(getattr(expected, name).abs().max()) > 0


def state_of(module: nn.Module) -> list[Any]:
    hooks = [
        {name: dict(value) for name, value in vars(part).items() if name.endswith("_hooks")}
        for part in module.modules()
    ]
    flags = [part.training for part in module.modules()]
    kept = [(name, value.requires_grad, value.grad) for name, value in module.named_parameters()]
    contents = [value.numpy().tobytes() for value in module.state_dict().values()]
    functions = [F.relu, torch.relu, torch.Tensor.relu, nn.ReLU.forward]
    return [hooks, flags, kept, contents, functions, torch.is_grad_enabled()]


def test_the_module_is_left_as_it_was() -> None:
    module = small_classifier().train()
    module[0].weight.requires_grad_(False)
    before = state_of(module)
    image = torch.rand(3, 12, 10, requires_grad=True)
    net = Net(module, size=(12, 10))
    fingerprint = net.fingerprint
    for technique in (saliency, deconvnet, guided_backprop):
        result = technique(net, image, ["2:1", 0])
        assert state_of(module) == before
        with pytest.raises(convscope.BadAddress):
            technique(net, image, "2:77")
        assert state_of(module) == before
        assert not any(value.requires_grad for value in vars(result).values() if isinstance(value, Tensor))
    assert image.grad is None
    assert not any(value.requires_grad or value.grad is not None for value in net.weights.values())
    assert net.__dict__.pop("fingerprint") == fingerprint == net.fingerprint


def test_the_module_is_left_as_it_was_after_a_refusal_and_after_an_error() -> None:
    refused = nn.Sequential(nn.Conv2d(3, 2, 1), nn.GELU(), nn.Flatten(), nn.Linear(84, 2)).train()
    before = state_of(refused)
    net = Net(refused, size=SIZE)
    for technique in (deconvnet, guided_backprop):
        with pytest.raises(NoRule):
            technique(net, torch.rand(3, *SIZE), 0)
    assert state_of(refused) == before
    module = small_classifier().train()
    before = state_of(module)
    net = Net(module, size=(12, 10))
    for rule in RULES:
        backward = Backward(net, net.output_layer, rule)

        def raises(*_: Any, **__: Any) -> Tensor:
            raise RuntimeError("a fault inside")

        backward.steps.all[-1].operator = raises
        with pytest.raises(RuntimeError, match="a fault inside"):
            list(backward.signals(torch.rand(1, 3, 12, 10), lambda value: [value]))
        with pytest.raises(ZeroDivisionError):
            list(Backward(net, net.output_layer, rule).signals(torch.rand(1, 3, 12, 10), lambda value: 1 / 0))  # type: ignore[arg-type, return-value]
        assert float(signal_of(net, rule, torch.rand(1, 3, 12, 10), torch.ones(1, 4)).abs().max()) > 0
    assert state_of(module) == before


def test_a_place_without_rows_and_columns() -> None:
    net = Net(small_classifier(), size=(12, 10))
    image = torch.rand(3, 12, 10)
    assert torch.equal(saliency(net, image, "7:1@0,0").map, saliency(net, image, "7:1").map)
    assert net.locate("5:1@2,3")[2] == Place(2, 3)


CAPTUMS: dict[Rule, Any] = {"gradient": Saliency, "deconvnet": Deconvolution, "guided": GuidedBackprop}


def torchvisions(name: str, side: int) -> tuple[nn.Module, Net, Tensor]:
    torch.manual_seed(0)
    options = {"init_weights": False, "aux_logits": False, "transform_input": False} if name == "googlenet" else {}
    module = getattr(torchvision.models, name)(weights=None, **options).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.normal_(part.running_mean, 0, 0.1)
    torch.manual_seed(1)
    net = Net(module, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (side, side))
    return module, net, torch.rand(1, 3, side, side)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("squeezenet1_0", 64),
        *[pytest.param(name, 64, marks=pytest.mark.heavy) for name in ("alexnet", "vgg11", "resnet18")],
    ],
)
@pytest.mark.filterwarnings("ignore:Setting (backward|forward)")
def test_captum_says_the_same(name: str, side: int) -> None:
    """All rectifiers of these are modules, so Captum's hooks find them; it sees the normalised image."""
    module, net, pixels = torchvisions(name, side)
    normalised = net.preprocess.normalise(pixels)
    std = torch.tensor(net.preprocess.std).view(1, 3, 1, 1)
    start = torch.zeros(1, 1000)
    start[0, 7] = 1
    for rule in RULES:
        method = CAPTUMS[rule](module)
        options = {"abs": False} if rule == "gradient" else {}
        expected = method.attribute(normalised.clone().requires_grad_(), target=7, **options).detach() / std
        found = signal_of(net, rule, pixels, start)
        size = float(expected.abs().max())
        assert size > 0
        assert float((found - expected).abs().max()) <= 1e-5 * size, rule
    technique = deconvnet(net, pixels[0], 7)
    assert float((technique.signal - signal_of(net, "deconvnet", pixels, start)[0]).abs().max()) == 0


@contextmanager
def rectified_by(rule: Rule) -> Iterator[None]:
    """F.relu, and all that calls it, by the textbook."""

    def relu(x: Tensor, inplace: bool = False) -> Tensor:
        return textbook(x, rule)

    with mock.patch.object(F, "relu", relu), mock.patch.object(torch, "relu", relu):
        yield


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "side", "count"), [("googlenet", 64, 57), ("densenet121", 64, 121)])
def test_rectifiers_that_are_functions_are_found(name: str, side: int, count: int) -> None:
    """Where Captum falls back on the plain gradient (googlenet), or on a mixture (densenet)."""
    module, net, pixels = torchvisions(name, side)
    std = torch.tensor(net.preprocess.std).view(1, 3, 1, 1)
    start = torch.zeros(1, 1000)
    start[0, 7] = 1
    found = {}
    for rule in RULES:
        with rectified_by(rule):
            given = net.preprocess.normalise(pixels).requires_grad_()
            (expected,) = torch.autograd.grad(module(given), given, start)
        expected = expected / std
        found[rule] = signal_of(net, rule, pixels, start)
        assert len(Backward(net, net.output_layer, rule).rectifiers) == count
        size = float(expected.abs().max())
        assert size > 0
        assert float((found[rule] - expected).abs().max()) <= 2e-5 * size, rule
    assert not np.allclose(found["gradient"], found["guided"], atol=0.1 * float(found["guided"].abs().max()))


class FoldedGate(nn.Module):
    """A sigmoid that scales a map, and that a convolution reads whose BatchNorm is folded into it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        gate = x.mean((2, 3), keepdim=True).sigmoid()
        return self.head((x * gate + self.norm(self.second(gate))).mean((2, 3)))


def test_what_a_folded_convolution_reads_is_no_gate() -> None:
    with pytest.raises(convscope.NoRule, match="1 sigmoid call"):
        convscope.guided_backprop(convscope.Net(FoldedGate(), size=(9, 9)), torch.rand(3, 9, 9), 0)


def test_folded_weights_of_one_layer_are_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets in many layers cost no more memory than one; what has no rule is refused before anything runs."""
    made: list[weakref.ref[Backward]] = []
    alive: list[int] = []
    init = Backward.__init__

    def counted(self: Backward, *arguments: Any) -> None:
        init(self, *arguments)
        made.append(weakref.ref(self))
        alive.append(sum(one() is not None for one in made))

    monkeypatch.setattr(Backward, "__init__", counted)
    net = Net(small_classifier(), size=(12, 10))
    starts = find_starts(net, ["0:1", "5:2", 1, "0:3@2,2", 2])
    pixels = net.prepare(torch.rand(3, 12, 10)).pixels
    sent = send_back(net, pixels, starts, "guided")
    assert alive == [1, 1, 1]
    assert [start.unit for start in sent.starts] == [1, 2, 1, 3, 2]
    assert sent.rectifiers == (0, 2, 2, 0, 2)
    assert sent.probabilities[0] is None
    assert sent.probabilities[2] == pytest.approx(float(net.probabilities(pixels)[0, 1]), rel=1e-5)
    odd = Net(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.GELU(), nn.Flatten(), nn.Linear(84, 2)), size=SIZE)
    with pytest.raises(NoRule):
        send_back(odd, torch.rand(1, 3, *SIZE), find_starts(odd, ["1:0", 0]), "guided")
    assert len(made) == 3
