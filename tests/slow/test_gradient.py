"""The three rules in plain loops, straight from the papers: a forward pass that remembers, a backward pass by hand."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope import Net
from convscope.models.backward import Backward, Rule
from convscope.models.layers import Layer
from tests.models.test_local_rules import norm

Array = NDArray[np.float64]
RULES: tuple[Rule, ...] = ("gradient", "deconvnet", "guided")
SIZE = (11, 10)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
EXACT = 1e-9


class Residual(nn.Module):
    """What goes in, added to what becomes of it."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Joined(nn.Module):
    """Branches side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


class Twin:
    """One layer: `forward` remembers what `backward` needs; last: signals start right behind it."""

    def __init__(self, part: Any) -> None:
        self.part = part

    def forward(self, x: Array) -> Array:
        raise NotImplementedError

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        raise NotImplementedError


class Convolve(Twin):
    def forward(self, x: Array) -> Array:
        part = self.part
        self.weight = part.weight.detach().numpy()
        (self.down, self.along), (self.top, self.left) = pair(part.stride), pair(part.padding)
        self.dilation = pair(part.dilation)
        self.shape, padded = x.shape, np.pad(x, ((0, 0), (self.top, self.top), (self.left, self.left)))
        self.padded = padded.shape
        heights, widths = (
            (length - spread * (cells - 1) - 1) // step + 1
            for length, spread, cells, step in zip(
                padded.shape[1:], self.dilation, self.weight.shape[2:], (self.down, self.along), strict=True
            )
        )
        result = np.zeros((len(self.weight), heights, widths))
        bias = np.zeros(len(self.weight)) if part.bias is None else part.bias.detach().numpy()
        for unit, row, column, inputs, rows, columns in self.windows(result.shape):
            result[unit, row, column] = bias[unit] + (padded[inputs, rows, columns] * self.weight[unit]).sum()
        return result

    def windows(self, shape: tuple[int, ...]) -> Iterator[tuple[int, int, int, slice, slice, slice]]:
        """Each cell with what it reads."""
        inputs, (units, height, width) = self.weight.shape[1], shape
        spans = [spread * (cells - 1) + 1 for spread, cells in zip(self.dilation, self.weight.shape[2:], strict=True)]
        for unit in range(units):
            group = unit // (units // self.part.groups)
            for row in range(height):
                for column in range(width):
                    top, left = row * self.down, column * self.along
                    rows = slice(top, top + spans[0], self.dilation[0])
                    columns = slice(left, left + spans[1], self.dilation[1])
                    yield unit, row, column, slice(group * inputs, (group + 1) * inputs), rows, columns

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        found = np.zeros(self.padded)
        for unit, row, column, inputs, rows, columns in self.windows(signal.shape):
            found[inputs, rows, columns] += signal[unit, row, column] * self.weight[unit]
        return found[:, self.top : self.top + self.shape[1], self.left : self.left + self.shape[2]]


def pooled(length: int, kernel: int, stride: int, padding: int, ceil: bool) -> int:
    """How many cells a pool gives: in ceil mode none may begin in the padding behind the map."""
    cells = ((math.ceil if ceil else math.floor)((length + 2 * padding - kernel) / stride)) + 1
    return cells - 1 if ceil and (cells - 1) * stride >= length + padding else cells


class Pool(Twin):
    """Windows over each map of their own."""

    def forward(self, x: Array) -> Array:
        part = self.part
        self.kernel, self.padding = pair(part.kernel_size), pair(part.padding)
        self.stride = pair(part.stride if part.stride else part.kernel_size)
        self.given = x
        sizes = zip(x.shape[1:], self.kernel, self.stride, self.padding, strict=True)
        self.shape = (len(x), *(pooled(*one, part.ceil_mode) for one in sizes))
        return self.pool()

    def windows(self) -> Iterator[tuple[int, int, int, list[tuple[int, int]]]]:
        """Each cell with the places of the map that it reads, in reading order."""
        height, width = self.given.shape[1:]
        for unit in range(self.shape[0]):
            for row in range(self.shape[1]):
                for column in range(self.shape[2]):
                    top, left = row * self.stride[0] - self.padding[0], column * self.stride[1] - self.padding[1]
                    rows = [y for y in range(top, top + self.kernel[0]) if 0 <= y < height]
                    columns = [x for x in range(left, left + self.kernel[1]) if 0 <= x < width]
                    yield unit, row, column, [(y, x) for y in rows for x in columns]

    def pool(self) -> Array:
        raise NotImplementedError


class Greatest(Pool):
    """Zeiler & Fergus: the switches remember where each maximum was; where windows overlap, signals add up."""

    def pool(self) -> Array:
        result, self.switches = np.zeros(self.shape), dict[tuple[int, int, int], tuple[int, int]]()
        for unit, row, column, places in self.windows():
            best = places[0]
            for place in places:
                if self.given[unit][place] > self.given[unit][best]:
                    best = place
            self.switches[unit, row, column] = best
            result[unit, row, column] = self.given[unit][best]
        return result

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        found = np.zeros_like(self.given)
        for (unit, row, column), place in self.switches.items():
            found[unit][place] += signal[unit, row, column]
        return found


class Mean(Pool):
    """The zeros around a map count if `count_include_pad`; what lies beyond them never does."""

    def count(self, row: int, column: int, places: Sequence[tuple[int, int]]) -> int:
        if not self.part.count_include_pad:
            return len(places)
        ends = []
        for cell, stride, kernel, padding, length in zip(
            (row, column), self.stride, self.kernel, self.padding, self.given.shape[1:], strict=True
        ):
            first = cell * stride - padding
            ends.append(min(first + kernel, length + padding) - first)
        return ends[0] * ends[1]

    def pool(self) -> Array:
        result = np.zeros(self.shape)
        for unit, row, column, places in self.windows():
            total = sum(self.given[unit][place] for place in places)
            result[unit, row, column] = total / self.count(row, column, places)
        return result

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        found = np.zeros_like(self.given)
        for unit, row, column, places in self.windows():
            for place in places:
                found[unit][place] += signal[unit, row, column] / self.count(row, column, places)
        return found


class Norm(Twin):
    def forward(self, x: Array) -> Array:
        part = self.part
        factor = part.weight / (part.running_var + part.eps).sqrt()
        shift = part.bias - part.running_mean * factor
        self.factor, moved = (value.detach().numpy()[:, None, None] for value in (factor, shift))
        return np.asarray(x * self.factor + moved)

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        return np.asarray(signal * self.factor)


class ResponseNorm(Twin):
    """y_i = x_i / s_i^β, s_i = k + α/n · Σ x_j² over the n units around i."""

    def forward(self, x: Array) -> Array:
        part, self.given = self.part, x
        self.sums = np.zeros_like(x)
        for unit in range(len(x)):
            around = x[self.neighbours(unit)]
            self.sums[unit] = part.k + part.alpha / part.size * (around**2).sum(0)
        return np.asarray(x / self.sums**part.beta)

    def neighbours(self, unit: int) -> list[int]:
        first = unit - self.part.size // 2
        return [one for one in range(first, first + self.part.size) if 0 <= one < len(self.given)]

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        if rule == "deconvnet":
            return signal
        part, found = self.part, np.zeros_like(signal)
        for unit in range(len(signal)):
            found[unit] += signal[unit] / self.sums[unit] ** part.beta
            for one in self.neighbours(unit):
                inner = 2 * part.alpha / part.size * self.given[one] * self.given[unit]
                found[one] -= signal[unit] * part.beta * inner / self.sums[unit] ** (part.beta + 1)
        return found


class Rectify(Twin):
    """gradient R·f'(x), deconvnet R·[R>0], guided R·[x>0]·[R>0]; leaky ones take the same two rules."""

    def forward(self, x: Array) -> Array:
        self.given = x
        slopes = {"LeakyReLU": getattr(self.part, "negative_slope", 0), "ReLU": 0, "ReLU6": 0}
        kind = type(self.part).__name__
        self.slope = (
            self.part.weight.detach().numpy()[:, None, None] if kind == "PReLU" else np.full((1, 1, 1), slopes[kind])
        )
        self.ceiling = 6.0 if kind == "ReLU6" else math.inf
        if x.ndim == 1:
            self.slope = self.slope.reshape(-1)
        return np.asarray(np.minimum(np.where(x > 0, x, self.slope * x), self.ceiling))

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        if rule == "deconvnet":
            return np.maximum(signal, 0)
        if rule == "guided":
            below = np.ones_like(self.given) if last else self.given < self.ceiling
            return np.asarray(np.maximum(signal, 0) * (self.given > 0) * below)
        return np.asarray(signal * np.where(self.given > 0, 1.0, self.slope) * (self.given < self.ceiling))


class Flat(Twin):
    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x.reshape(-1)

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        return signal.reshape(self.shape)


class Product(Twin):
    def forward(self, x: Array) -> Array:
        self.weight = self.part.weight.detach().numpy()
        return np.asarray(self.weight @ x + self.part.bias.detach().numpy())

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        return np.asarray(self.weight.T @ signal)


class Chain(Twin):
    def forward(self, x: Array) -> Array:
        self.twins, self.values = [TWINS[type(part)](part) for part in self.part], list[Array]()
        for twin in self.twins:
            x = twin.forward(x)
            self.values.append(x)
        return x

    def backward(self, signal: Array, rule: Rule, last: bool, stop: int | None = None) -> Array:
        """stop: how many of the parts there are between the pixels and the start."""
        for number, twin in enumerate(reversed(self.twins[:stop])):
            signal = twin.backward(signal, rule, last and number == 0)
        return signal


class Both(Twin):
    def forward(self, x: Array) -> Array:
        self.branch = Chain(self.part.branch)
        return np.asarray(x + self.branch.forward(x))

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        return np.asarray(signal + self.branch.backward(signal, rule, False))


class SideBySide(Twin):
    def forward(self, x: Array) -> Array:
        self.twins = [TWINS[type(branch)](branch) for branch in self.part.branches]
        found = [twin.forward(x) for twin in self.twins]
        self.ends = np.cumsum([len(one) for one in found])[:-1]
        return np.concatenate(found)

    def backward(self, signal: Array, rule: Rule, last: bool) -> Array:
        parts = np.split(signal, self.ends)
        return np.asarray(sum(twin.backward(part, rule, False) for twin, part in zip(self.twins, parts, strict=True)))


TWINS: dict[type[nn.Module], type[Twin]] = {
    nn.Conv2d: Convolve, nn.MaxPool2d: Greatest, nn.AvgPool2d: Mean, nn.BatchNorm2d: Norm, nn.LocalResponseNorm: ResponseNorm, nn.ReLU: Rectify,
    nn.ReLU6: Rectify, nn.LeakyReLU: Rectify, nn.PReLU: Rectify, nn.Flatten: Flat, nn.Linear: Product, nn.Sequential: Chain, Residual: Both, Joined: SideBySide,
}  # fmt: skip


def conv(before: int, after: int, kernel: Any = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, **options)


def headed(*parts: nn.Module) -> nn.Sequential:
    """Parts, then two linear layers."""
    torch.manual_seed(1)
    size = nn.Sequential(*parts, nn.Flatten()).eval()(torch.rand(1, 3, *SIZE)).shape[1]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(size, 7), nn.ReLU(), nn.Linear(7, 4))


NETS: dict[str, Callable[[], nn.Sequential]] = {
    "plain": lambda: headed(conv(3, 5), nn.ReLU(), conv(5, 4), nn.ReLU(inplace=True), conv(4, 4), nn.ReLU()),
    "strides": lambda: headed(conv(3, 4, 3, stride=2), nn.ReLU(), conv(4, 5, (2, 3), stride=(1, 2), padding=(2, 1)), nn.ReLU()),
    "dilation and groups": lambda: headed(conv(3, 4, 3, dilation=(2, 1), padding=1), nn.ReLU(), conv(4, 8, 3, groups=4, bias=False), nn.ReLU(), conv(8, 4, 1, groups=2), nn.ReLU()),
    "pools that overlap": lambda: headed(conv(3, 4), nn.ReLU(), nn.MaxPool2d(3, 2), conv(4, 4, 2), nn.ReLU(), nn.MaxPool2d(2, 1)),
    "pools in ceil mode": lambda: headed(conv(3, 4, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), conv(4, 4, 2), nn.ReLU(), nn.MaxPool2d((2, 3), (2, 3), (1, 1), ceil_mode=True)),
    "pool first": lambda: headed(nn.MaxPool2d(3, 2, 1), conv(3, 4), nn.ReLU(), conv(4, 4, 1), nn.ReLU()),
    "BatchNorm": lambda: headed(conv(3, 4, bias=False), norm(4), nn.ReLU(True), conv(4, 4), nn.ReLU(), norm(4), conv(4, 4, 1), norm(4), nn.ReLU()),
    "BatchNorm first": lambda: headed(norm(3), conv(3, 4), nn.ReLU(), nn.MaxPool2d(2), norm(4), nn.ReLU(), conv(4, 4, 1), nn.ReLU()),
    "mean pools": lambda: headed(conv(3, 4), nn.ReLU(), nn.AvgPool2d(3, 2, 1), conv(4, 4, 1), nn.ReLU(), nn.AvgPool2d(2, 1, 1, count_include_pad=False), nn.AvgPool2d(2, 3, ceil_mode=True)),
    "residual": lambda: headed(conv(3, 4), norm(4), nn.ReLU(True), Residual(conv(4, 4, padding=1), norm(4), nn.ReLU(True), conv(4, 4, padding=1), norm(4)), nn.ReLU(True), Residual(conv(4, 4, 1)), nn.ReLU()),
    "residual before the rectifier": lambda: headed(conv(3, 4), Residual(norm(4), nn.ReLU(), conv(4, 4, padding=1)), Residual(nn.ReLU(), conv(4, 4, 1)), nn.ReLU()),
    "joined": lambda: headed(Joined(nn.Sequential(conv(3, 2, 1), nn.ReLU()), nn.Sequential(conv(3, 3, padding=1), nn.ReLU(), conv(3, 3, padding=1)), nn.MaxPool2d(3, 1, 1)), nn.ReLU(), conv(8, 4), nn.ReLU()),
    "response norm": lambda: headed(conv(3, 6), nn.ReLU(), nn.LocalResponseNorm(5, 0.8, 0.75, 1.3), nn.MaxPool2d(3, 2), conv(6, 5, 2), nn.LocalResponseNorm(3, 2.0, 0.6, 0.5), nn.ReLU(), nn.LocalResponseNorm(2)),
    "ceilings": lambda: headed(conv(3, 4), nn.ReLU6(True), conv(4, 4), nn.ReLU6(), conv(4, 4, 1), nn.ReLU6()),
    "leaks": lambda: headed(conv(3, 4), nn.LeakyReLU(0.2), conv(4, 4), nn.PReLU(4), conv(4, 4, 1), nn.LeakyReLU(0.1, True)),
}  # fmt: skip


@functools.cache
def opened(name: str) -> tuple[nn.Sequential, Net]:
    """A net in float64; its weights so great that ceilings are met."""
    torch.manual_seed(0)
    module = NETS[name]().double().eval()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d) and name == "ceilings":
                part.weight.mul_(6)
    return module, Net(module, MEAN, STD, SIZE)


HEAVY = (
    "plain",
    "strides",
    "pool first",
    "BatchNorm first",
    "residual before the rectifier",
    "pools that overlap",
    "leaks",
    "dilation and groups",
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy) if name in HEAVY else name for name in NETS]
)
def test_signals_are_those_of_the_papers(name: str) -> None:
    """From random starts of both signs behind the scores and behind every layer on the way."""
    module, net = opened(name)
    torch.manual_seed(2)
    pixels = torch.rand(1, 3, *SIZE, dtype=torch.float64)
    std = np.array(STD)[:, None, None]
    twin, named = Chain(module), {layer.name: layer for layer in net.layers}
    twin.forward((pixels[0].numpy() - np.array(MEAN)[:, None, None]) / std)
    stops = [stop for stop in range(1, len(module) + 1) if str(stop - 1) in named]
    arrived = 0
    for stop in stops:
        layer, value = named[str(stop - 1)], twin.values[stop - 1]
        start = np.random.default_rng(stop).normal(size=value.shape)
        for rule in RULES:
            expected = twin.backward(start, rule, True, stop) / std
            found = signals_from(net, layer, rule, pixels, start, value)
            size = np.abs(expected).max()
            assert np.abs(found - expected).max() <= EXACT * size, (layer.name, rule)
            arrived += bool(size > 0)
    assert len(stops) > 5
    assert arrived > 2 * len(stops)


def signals_from(net: Net, layer: Layer, rule: Rule, pixels: Tensor, start: Array, value: Array) -> Array:
    """The signal of a start, after the layer's value and a second start have been compared with what they have to be."""
    given: list[Tensor] = []

    def begin(found: Tensor) -> list[Tensor]:
        given.append(found)
        return [torch.from_numpy(start)[None], torch.from_numpy(start)[None] * 3]

    signal, three = Backward(net, layer, rule).signals(pixels, begin)
    np.testing.assert_allclose(given[0][0].numpy(), value, rtol=0, atol=EXACT * np.abs(value).max())
    assert float((three - 3 * signal).abs().max()) <= EXACT * float(signal.abs().max())
    return np.asarray(signal[0].numpy())


@pytest.mark.parametrize("name", ["ceilings", "response norm"])
def test_the_rules_differ(name: str) -> None:
    """Else the comparison could not tell one from another; and ceilings are met."""
    _, net = opened(name)
    torch.manual_seed(2)
    pixels = torch.rand(1, 3, *SIZE, dtype=torch.float64)
    starts = [torch.eye(4, dtype=torch.float64)[:1]]
    found = [next(Backward(net, net.output_layer, rule).signals(pixels, lambda _: starts)) for rule in RULES]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert float((found[one] - found[other]).abs().max()) > 0.05 * float(found[one].abs().max())
    if name == "ceilings":
        values = net.outputs(pixels, ["1", "3"])
        assert all(0.02 < float((value == 6).double().mean()) < 0.9 for value in values.values())
