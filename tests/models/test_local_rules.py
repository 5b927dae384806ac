"""Every operator on windows: in float64 the occluder's answers and the sums of all layers are those of whole forwards."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope import Net
from convscope.models.incremental.engine import Incremental
from convscope.models.occluders import Fill, make_occluder, positions
from convscope.models.rules.pointwise import POINTWISE
from tests.nets import Does
from tests.slow.test_occlusion import hidden_images

EXACT = 1e-9  # of the greatest size, in float64
SIZE = (19, 22)


def conv(before: int, after: int, kernel: Any = 3, **options: Any) -> nn.Conv2d:
    """A convolution that keeps the size unless told otherwise."""
    sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    return nn.Conv2d(before, after, kernel, **({"padding": tuple(side // 2 for side in sides)} | options))


def norm(channels: int) -> nn.BatchNorm2d:
    """A BatchNorm whose statistics and gains are not trivial."""
    made = nn.BatchNorm2d(channels)
    for value in (made.running_mean, made.weight, made.bias):
        nn.init.normal_(value)
    nn.init.uniform_(made.running_var, 0.3, 2)
    return made


def between(*parts: nn.Module) -> nn.Module:
    """Operators between two convolutions, then the mean and a linear layer; the first gives 8 maps, the last takes 8."""
    return nn.Sequential(
        conv(3, 8), *parts, conv(8, 8), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )


def middle(function: Callable[[Any, Tensor], Tensor], after: int = 8, **parts: Any) -> nn.Module:
    """The same with a function of 8 maps, which gives `after` maps."""
    return between(Does(function, **parts), *([conv(after, 8, 1)] if after != 8 else []))


def wide(make: Callable[[], nn.Module]) -> nn.Module:
    """A net in float64 whose weights are so great that what is hidden early still counts in the end."""
    torch.manual_seed(0)
    module = make().double().eval()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.weight.mul_(2)
    return module


def shuffled(x: Tensor) -> Tensor:
    """ShuffleNet's channel shuffle."""
    return x.view(x.shape[0], 2, 4, *x.shape[2:]).transpose(1, 2).reshape(x.shape)


def split(s: Any, x: Tensor) -> Tensor:
    one, two = x.chunk(2, 1)
    return torch.cat([two.relu(), one, s.conv(two)], 1)


def convnext(s: Any, x: Tensor) -> Tensor:
    return x + s.gain * s.out(F.gelu(s.into(s.norm(s.deep(x).permute(0, 2, 3, 1))))).permute(0, 3, 1, 2)


def on_windows() -> dict[str, Callable[[], nn.Module]]:
    """Nets whose every step up to the mean has to run on windows; the speed rests on it."""
    pool, mean, norms = nn.MaxPool2d, nn.AvgPool2d, nn.LayerNorm
    return {
        "convolutions": lambda: between(nn.ReLU(), conv(8, 8, 5, groups=8), nn.ReLU6(True), conv(8, 12, (1, 4), groups=4), conv(12, 8, (2, 3), dilation=(2, 3))),
        "strides": lambda: between(conv(8, 8, 2, stride=(1, 2), padding=0), nn.SiLU(True), conv(8, 8, 3, stride=3)),
        "same and valid": lambda: between(conv(8, 8, (4, 2), padding="same"), conv(8, 8, 3, padding="valid"), conv(8, 8, (2, 5), padding="same", dilation=(3, 2))),
        "uneven padding": lambda: between(nn.ZeroPad2d((0, 1, 2, 0)), conv(8, 8, 3, stride=2, padding=0), nn.ZeroPad2d((3, 1, 0, 0)), nn.ReLU()),
        "norm folded": lambda: between(conv(8, 8), norm(8), nn.ReLU(True)),
        "norm first": lambda: between(nn.ReLU(), norm(8), nn.ReLU(True)),
        "prelu": lambda: between(nn.PReLU(8), nn.PReLU()),
        "max pool": lambda: between(pool(3, 2, 1, ceil_mode=True), nn.ReLU(), pool((2, 3), (1, 2), (1, 0)), pool(2, 1, 0, dilation=2)),
        "max pool with gaps": lambda: between(pool(2, 3, ceil_mode=True)),
        "mean pool": lambda: between(mean(3, 2, 1), mean((2, 3), (1, 2), divisor_override=5)),
        "sum, smaller window first": lambda: middle(lambda s, x: s.near(x) + s.far(x), near=conv(8, 8, 1), far=conv(8, 8, 5)),
        "sum in place, smaller window first": lambda: middle(lambda s, x: s.near(x).add_(s.far(x)).relu_(), near=conv(8, 8, 1), far=conv(8, 8, 5)),
        "sum, greater window first": lambda: middle(lambda s, x: F.relu(s.far(x) + x, inplace=True), far=conv(8, 8, 5)),
        "shortcut that skips pixels": lambda: middle(lambda s, x: s.near(x) + s.far(x), near=conv(8, 8, 1, stride=2), far=conv(8, 8, 3, stride=2)),
        "joined": lambda: middle(lambda s, x: torch.cat([x, s.far(x), s.near(x)], 1), 24, near=conv(8, 8, 1), far=conv(8, 8, 5)),
        "split": lambda: middle(split, 12, conv=conv(4, 4)),
        "shuffle": lambda: middle(lambda s, x: s.conv(shuffled(x)), conv=conv(8, 8, groups=4)),
        "response norm": lambda: between(nn.ReLU(), nn.LocalResponseNorm(5, 1.0, 0.75, 1.0)),
        "convnext": lambda: middle(convnext, deep=conv(8, 8, 7, groups=8), norm=norms(8), into=nn.Linear(8, 16), out=nn.Linear(16, 8), gain=torch.rand(8, 1, 1)),
        "channels padded": lambda: middle(lambda s, x: F.pad(x, (0, 0, 0, 0, 2, 1)), 11),
        "over channels": lambda: middle(lambda s, x: s.spread((x.softmax(1) * s.gain).mean(1, keepdim=True)), gain=torch.rand(8, 1, 1) * 50, spread=conv(1, 8)),
        "channels last": lambda: middle(lambda s, x: s.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm=norms(8)),
    }  # fmt: skip


def whole_maps() -> dict[str, Callable[[], nn.Module]]:
    """Nets with operators of which some need whole maps: slower, never wrong."""
    up, lifted = nn.Upsample, (1, 0, 0, 0)
    return {
        "padding modes": lambda: between(*[conv(8, 8, padding=(2, 1), padding_mode=mode) for mode in ("reflect", "replicate", "circular")]),
        "other padding": lambda: between(nn.ConstantPad2d(1, 0.7), nn.ReLU(), nn.ZeroPad2d((-1, 1, -2, 0))),
        "mean pool at the edges": lambda: between(nn.AvgPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.AvgPool2d(2, 3, ceil_mode=True)),
        "adaptive pools": lambda: between(nn.AdaptiveAvgPool2d((9, 7)), nn.AdaptiveMaxPool2d((4, 3)), nn.AdaptiveAvgPool2d((None, 1))),
        "squeeze and excite": lambda: middle(lambda s, x: x * s.gate(x.mean((2, 3), keepdim=True)).sigmoid(), gate=conv(8, 8, 1)),
        "group norm": lambda: between(nn.GroupNorm(2, 8), nn.ReLU(True)),
        "pixel shuffle": lambda: between(nn.PixelShuffle(2), nn.ReLU(), nn.PixelUnshuffle(2), conv(8, 8)),
        "upsampled": lambda: between(nn.MaxPool2d(2), up(scale_factor=2), conv(8, 8), up(scale_factor=1.5, mode="bilinear")),
        "transposed convolution": lambda: between(nn.ConvTranspose2d(8, 8, 3, 2, 1), conv(8, 8, stride=2)),
        "learnt map": lambda: middle(lambda s, x: x * s.map + s.row, map=torch.rand(8, *SIZE), row=torch.rand(SIZE[1])),
        "rectified otherwise": lambda: middle(lambda s, x: torch.where(x > 0, x, torch.zeros_like(x)) + x.clamp(min=0.1) + torch.maximum(x, x.new_zeros(()))),
        "zeros joined": lambda: middle(lambda s, x: torch.cat([x, x.new_zeros(x.shape[0], 4, *SIZE)], 1), 12),
        "joined with itself": lambda: middle(lambda s, x: torch.cat([x, s.far(x), x], 1), 24, far=conv(8, 8, 5)),
        "slices": lambda: middle(lambda s, x: x[:, 1:8:2, 2:-1, ::2], 4),
        "rows split": lambda: middle(lambda s, x: torch.cat(x.split([4, 10, 5], 2)[::2], 2)),
        "one channel for all": lambda: middle(lambda s, x: x * x.amax(1, keepdim=True)),
        "whole maps beside windows": lambda: middle(lambda s, x: F.group_norm(x, 2) + s.conv(x.clamp(min=0.1)), conv=conv(8, 8)),
        "one channel": lambda: middle(lambda s, x: x[:, 2].unsqueeze(1) * x),
        "one more axis": lambda: middle(lambda s, x: x.unsqueeze(1).relu().squeeze(1)),
        "images in channels": lambda: middle(lambda s, x: s.one(x.reshape(-1, 1, *SIZE)).reshape(x.shape), one=conv(1, 1)),
        "images last": lambda: middle(lambda s, x: x.permute(2, 3, 0, 1).relu().permute(2, 3, 0, 1)),
        "flipped and rolled": lambda: middle(lambda s, x: x.flip(3).roll(2, 2)),
        "added up along rows": lambda: middle(lambda s, x: torch.cumsum(x, 2) * 0.2),
        "turned": lambda: Does(lambda s, x: s.end(s.two(s.one(x).transpose(2, 3)).relu().mean((2, 3))), one=conv(3, 8), two=conv(8, 8, (5, 1), stride=(2, 1)), end=nn.Linear(8, 5)),
        "weights made of weights": lambda: middle(lambda s, x: F.conv2d(x, s.w - s.w.mean((1, 2, 3), keepdim=True), padding=1).relu_(), w=torch.randn(8, 8, 3, 3)),
        "weights made of the image": lambda: middle(lambda s, x: F.conv2d(x, s.w * x.new_ones(1), padding=1), w=torch.randn(8, 8, 3, 3)),
        "tokens": lambda: middle(lambda s, x: (lambda t: F.scaled_dot_product_attention(t, t, t))(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)),
        "class token": lambda: Does(lambda s, x: (lambda t: s.end(torch.cat([s.token.expand(t.shape[0], 1, 8), t], 1).mean(1)))(s.one(x).flatten(2).transpose(1, 2)), one=conv(3, 8), token=torch.rand(1, 1, 8), end=nn.Linear(8, 5)),
        "flat": lambda: nn.Sequential(conv(3, 4, stride=2), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(440, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 5)),
        "linear alone": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 19 * 22, 5)),
        "written out": lambda: Does(lambda s, x: torch.addmm(s.end.bias, s.one(x).relu().mean((2, 3)), s.end.weight.t()), one=conv(3, 8), end=nn.Linear(8, 5)),
        "heads": lambda: Does(lambda s, x: (lambda y: torch.cat([s.end(y.mean((2, 3))), s.more(s.two(y)).amax((2, 3)), y.sum((2, 3), keepdim=True).flatten(1)], 1))(s.one(x).relu()), one=conv(3, 8), two=conv(8, 8, stride=2), more=conv(8, 3, 1), end=nn.Linear(8, 5)),
        "means one by one": lambda: Does(lambda s, x: s.end(s.one(x).permute(0, 2, 3, 1).mean(1).mean(1)), one=conv(3, 8), end=nn.Linear(8, 5)),
        "asymmetric": lambda: middle(lambda s, x: F.pad(x, lifted)[:, :, :, :-1] + x),
    }  # fmt: skip


NETS = [*on_windows(), *whole_maps()]


@pytest.mark.parametrize(
    "name", [name if at % 3 == 0 else pytest.param(name, marks=pytest.mark.heavy) for at, name in enumerate(NETS)]
)
def test_scores_and_sums_are_those_of_whole_forwards(name: str) -> None:
    net = Net(wide(lambda: (on_windows() | whole_maps())[name]()), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), SIZE)
    if name in on_windows():
        engine = Incremental(net, torch.rand(1, 3, *SIZE))
        end = next(at for at, rule in enumerate(engine.rules) if rule and rule.kind == "mean")
        assert not on_whole(net, engine, end), name
        compare(net, (1, 1), (4, 3), "grey", followed=False)  # followed layers are not folded
    compare(net, (5, 4), (3, 3), "noise", followed=True)


def on_whole(net: Net, engine: Incremental, end: int) -> list[str]:
    """The steps before the end that run on whole maps."""
    pairs = zip(engine.steps[:end], engine.rules, strict=False)
    return [str(step.node) for step, rule in pairs if rule is None and step.node in net.fields]


def compare(net: Net, window: tuple[int, int], stride: tuple[int, int], fill: Fill, followed: bool) -> None:
    """All positions against whole forwards: scores, and with `followed` the sum of a unit of every layer."""
    torch.manual_seed(1)
    pixels = torch.rand(1, 3, *net.size, dtype=torch.float64)
    names = [layer.name for layer in net.layers if layer.shape] if followed else []
    units = [net.layer(name).units - 1 for name in names]
    engine = Incremental(net, pixels, [(net.layer(name), unit) for name, unit in zip(names, units, strict=True)])
    grid = positions(net.size, window, stride, "inside")
    images, shape = hidden_images(net, pixels, window, stride, "inside", fill)
    assert shape == grid.shape
    with torch.no_grad():
        expected = net.scores(images)
        layers = net.outputs(images, names) if names else {}
    size = float((expected - expected.mean(1, keepdim=True)).abs().max())
    assert float(expected.std(0).max()) > 1e-4 * size  # else the test could not fail
    seen = torch.zeros(len(images), dtype=torch.int64)
    for found in engine.run(grid, make_occluder(net, pixels, fill, window, 0)):
        at = torch.from_numpy(found.rows * shape[1] + found.columns)
        seen[at] += 1
        assert float((found.scores - expected[at]).abs().max()) <= EXACT * size
        for place, (name, unit) in enumerate(zip(names, units, strict=True)):
            maps = layers[name][at, unit].double().reshape(len(at), -1)
            off = float((found.sums[:, place] - maps.sum(1)).abs().max())
            assert off <= EXACT * float(maps.abs().sum(1).max()) + 1e-12, name
    assert seen.tolist() == [1] * len(images)  # every position once


ACTIVATIONS: list[Callable[[Tensor], Tensor]] = [
    F.relu, F.relu6, F.hardtanh, F.leaky_relu, F.elu, F.selu, F.celu, F.silu, F.gelu, F.mish, F.hardswish, F.hardsigmoid,
    F.logsigmoid, F.softplus, F.softsign, F.hardshrink, F.tanhshrink, F.softshrink, torch.sigmoid, torch.tanh, torch.abs,
    torch.square, torch.erf, torch.sin, torch.cos, torch.neg, torch.expm1, lambda x: F.threshold(x, 0.1, -0.3), lambda x: x.exp().log1p().sqrt().rsqrt(),
    lambda x: x.abs().add(1).log().pow(1.5).reciprocal().clamp(0.2, 3), lambda x: torch.lerp(x, x * x, 0.3), lambda x: torch.addcmul(x, x, x), lambda x: torch.addcdiv(x, x, x.abs() + 1),
    lambda x: torch.where(torch.logical_and(x > 0, x < 1), x, -x), lambda x: x.masked_fill(x < 0, 0.5), lambda x: 1 - x, lambda x: 2 / (x * x + 1), lambda x: x.type_as(x), lambda x: torch.nan_to_num(x.clip(max=1)), lambda x: F.dropout(x, training=False).clone().contiguous(),
    lambda x: torch.minimum(x, x * x), lambda x: x.clone().relu_().mul_(1.5).add_(x), lambda x: F.hardswish(x + 1, inplace=True), lambda x: x.detach() * x,
]  # fmt: skip


def test_activations_run_on_windows() -> None:
    """All in one net side by side, so that one export serves; each map is followed."""

    def forward(s: Any, x: Tensor) -> Tensor:
        x = s.one(x)
        return s.end(s.two(torch.cat([function(x) for function in ACTIVATIONS], 1)).mean((2, 3)))

    parts = {"one": conv(3, 2), "two": conv(2 * len(ACTIVATIONS), 8), "end": nn.Linear(8, 5)}
    net = Net(wide(lambda: Does(forward, **parts)), size=SIZE)
    compare(net, (5, 4), (6, 5), "noise", followed=True)
    engine = Incremental(net, torch.rand(1, 3, *SIZE))
    assert not on_whole(net, engine, len(engine.steps) - 1)
    assert len({step.node.target for step in engine.steps}) > 40
    assert {"relu", "gelu", "where", "clamp", "masked_fill"} <= set(POINTWISE)
