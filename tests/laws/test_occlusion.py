"""Whatever the network and wherever the square: incremental answers are those of whole forwards, at every position."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, example, given, reject, settings
from hypothesis import strategies as st
from numpy.random import Generator, default_rng
from torch import Tensor, nn

from convscope import Net, UnsuitableNet
from convscope.models.incremental.engine import Incremental
from convscope.models.occluders import Border, Fill, make_occluder, positions
from tests.nets import Does
from tests.slow.test_occlusion import hidden_images

EXACT = 1e-9  # of the greatest |score − mean over the classes|, float64
Shape = tuple[int, int, int]  # channels, rows, columns
Maker = Callable[[Generator, Shape], nn.Module]


def number(random: Generator, low: int, high: int) -> int:
    return int(random.integers(low, max(low, high) + 1))


def chosen(random: Generator, *options: Any) -> Any:
    return options[number(random, 0, len(options) - 1)]


def conv(
    random: Generator, shape: Shape, after: int | None = None, same: bool = False, stride: int | None = None
) -> nn.Conv2d:
    """Any convolution that fits; `same`: it keeps rows and columns (or cuts them by the stride alone)."""
    channels, *size = shape
    groups = chosen(random, 1, 1, channels, *[n for n in (2, 3, 4) if channels % n == 0])
    after = after if after is not None and after % groups == 0 else groups * number(random, 1, max(1, 12 // groups))
    dilation = [number(random, 1, 2) if not same else 1 for _ in size]
    kernel = [number(random, 1, min(5, 1 + (length - 1) // d)) for length, d in zip(size, dilation, strict=True)]
    if same:
        kernel = [side - 1 if side % 2 == 0 else side for side in kernel]
        padding: Any = [side // 2 for side in kernel]
        return nn.Conv2d(channels, after, kernel, stride or 1, padding, groups=groups)
    padding = [number(random, 0, side) for side in kernel]
    strides: Any = [number(random, 1, 3) for _ in size]
    mode = chosen(random, "zeros", "zeros", "zeros", "reflect", "replicate", "circular")
    if mode != "zeros":
        padding = [min(cells, length - 1) for cells, length in zip(padding, size, strict=True)]
    elif number(random, 0, 3) == 0:
        padding, strides = chosen(random, "same", "valid"), 1
    return nn.Conv2d(channels, after, kernel, strides, padding, dilation, groups, bool(number(random, 0, 1)), mode)


def norm(channels: int) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(channels)
    for value in (made.running_mean, made.weight, made.bias):
        nn.init.normal_(cast(Tensor, value))
    nn.init.uniform_(cast(Tensor, made.running_var), 0.3, 2)
    return made


def paired(random: Generator, shape: Shape) -> nn.Module:
    """Branches of other windows that are added, multiplied or joined; both strided, or the input as it is."""
    after, stride = number(random, 1, 8), number(random, 1, 2)
    one, two = conv(random, shape, after, True, stride), conv(random, shape, None, True, stride)
    two = two if two.out_channels == one.out_channels else nn.Conv2d(shape[0], one.out_channels, 1, stride)
    how = chosen(
        random, torch.add, torch.mul, torch.maximum, lambda a, b: a.add_(b).relu_(),
        lambda a, b: torch.cat([a, b], 1), lambda a, b: torch.cat([b.relu(), a, b], 1),
    )  # fmt: skip
    return Does(lambda s, x: how(s.one(x), s.two(x)), one=one, two=two)


def shortcut(random: Generator, shape: Shape) -> nn.Module:
    inner = nn.Sequential(nn.Conv2d(shape[0], shape[0], chosen(random, 1, 3, 5), padding="same"), norm(shape[0]))
    how = chosen(
        random, lambda s, x: F.relu(s.inner(x) + x, inplace=True),
        lambda s, x: x + s.inner(x), lambda s, x: s.inner(F.relu(x)).add_(x),
    )  # fmt: skip
    return Does(how, inner=inner)


def pool(random: Generator, shape: Shape) -> nn.Module:
    kernel = [number(random, 1, min(3, length)) for length in shape[1:]]
    stride, padding = [number(random, 1, 3) for _ in kernel], [number(random, 0, side // 2) for side in kernel]
    up = bool(number(random, 0, 1))
    if number(random, 0, 1):
        dilation = [
            1 if (side - 1) * 2 + 1 > length else number(random, 1, 2)
            for side, length in zip(kernel, shape[1:], strict=True)
        ]
        return nn.MaxPool2d(cast(Any, kernel), cast(Any, stride), cast(Any, padding), cast(Any, dilation), ceil_mode=up)
    return nn.AvgPool2d(
        cast(Any, kernel),
        cast(Any, stride),
        cast(Any, padding),
        up,
        bool(number(random, 0, 1)),
        chosen(random, None, None, 3),
    )


def adaptive(random: Generator, shape: Shape) -> nn.Module:
    size = tuple(number(random, 1, length) for length in shape[1:])
    return chosen(random, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)(size)


def padded(random: Generator, shape: Shape) -> nn.Module:
    sides, value = [number(random, 0, 2) for _ in range(4)], chosen(random, 0.0, 0.0, 0.4)
    after = conv(random, (shape[0], shape[1] + sides[2] + sides[3], shape[2] + sides[0] + sides[1]))
    if isinstance(after.padding, tuple) and number(random, 0, 1):
        after.padding, after.padding_mode = (0, 0), "zeros"
    return nn.Sequential(nn.ConstantPad2d(cast(Any, tuple(sides)), value), after)


def activation(random: Generator, shape: Shape) -> nn.Module:
    quick = bool(number(random, 0, 1))
    return chosen(
        random, nn.ReLU(quick), nn.ReLU6(quick), nn.SiLU(quick), nn.Hardswish(quick), nn.GELU(), nn.ELU(inplace=quick), nn.LeakyReLU(0.1, quick),
        nn.PReLU(), nn.PReLU(shape[0]), nn.Sigmoid(), nn.Tanh(), nn.Softplus(), nn.Mish(quick), nn.Hardsigmoid(), nn.Identity(), nn.Dropout2d(),
        Does(lambda s, x: torch.where(x > 0, x, torch.zeros_like(x))), Does(lambda s, x: x.clamp(-1, 1)), Does(lambda s, x: torch.maximum(x, torch.zeros_like(x))),
        Does(lambda s, x: x * (x > 0)), Does(lambda s, x: (1 - x * x).abs().sqrt()), nn.Softmax2d(), nn.Dropout(inplace=True),
    )  # fmt: skip


def normed(random: Generator, shape: Shape) -> nn.Module:
    channels, groups = shape[0], chosen(random, *[n for n in (1, 2, shape[0]) if shape[0] % n == 0])
    last = Does(lambda s, x: s.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm=nn.LayerNorm(channels))
    return chosen(
        random, norm(channels), norm(channels), last, nn.LocalResponseNorm(3, 0.5), nn.GroupNorm(groups, channels)
    )


def gated(random: Generator, shape: Shape) -> nn.Module:
    gate = nn.Conv2d(shape[0], shape[0], 1)
    kept = Does(lambda s, x: x * s.gate(x.mean((2, 3), keepdim=True)).sigmoid(), gate=gate)
    return chosen(random, kept, Does(lambda s, x: x * s.map + s.row, map=torch.rand(shape), row=torch.rand(shape[2])))


def convnext(random: Generator, shape: Shape) -> nn.Module:
    def forward(s: Any, x: Tensor) -> Tensor:
        return x + s.gain * s.out(F.gelu(s.into(s.norm(s.deep(x).permute(0, 2, 3, 1))))).permute(0, 3, 1, 2)

    c = shape[0]
    deep = nn.Conv2d(c, c, 5, padding=2, groups=c)
    return Does(
        forward,
        deep=deep,
        norm=nn.LayerNorm(c),
        into=nn.Linear(c, 2 * c),
        out=nn.Linear(2 * c, c),
        gain=torch.rand(c, 1, 1),
    )


def moved(random: Generator, shape: Shape) -> nn.Module:
    c, h, w = shape
    options: list[Callable[[Any, Tensor], Tensor]] = [
        lambda s, x: x[:, :, : max(1, h - 2), ::2], lambda s, x: x[:, c // 2 :], lambda s, x: torch.cat([x, x.flip(3)], 1), lambda s, x: x.flip(1),
        lambda s, x: torch.cumsum(x, 2) * 0.2, lambda s, x: torch.cat([x[:, :1].relu(), x], 1), lambda s, x: x + x.mean(1, keepdim=True), lambda s, x: x * x.amax((2, 3), keepdim=True),
        lambda s, x: torch.cat([x, torch.zeros_like(x)], 1), lambda s, x: F.pad(x, (0, 0, 0, 0, 1, 1)), lambda s, x: x.transpose(2, 3), lambda s, x: x.roll((1, 2), (2, 3)),
        lambda s, x: F.interpolate(x, scale_factor=2) if h * w < 900 else x, lambda s, x: F.interpolate(x, (h + 3, w), mode="bilinear", align_corners=True), lambda s, x: x.reshape(-1, 1, h, w).relu().reshape(x.shape),
        lambda s, x: x.unsqueeze(1).sigmoid().squeeze(1), lambda s, x: x.flatten(2).transpose(1, 2).softmax(2).transpose(1, 2).reshape(x.shape),
    ]  # fmt: skip
    if c % 2 == 0:
        options.append(
            lambda s, x: torch.cat([part.relu() if i else part for i, part in enumerate(x.chunk(2, 1))][::-1], 1)
        )
        options.append(lambda s, x: x.view(x.shape[0], 2, c // 2, h, w).transpose(1, 2).reshape(x.shape))
        options.append(lambda s, x: (lambda a, b: a * b.sigmoid())(*x.chunk(2, 1)))
    if c > 2:
        options.append(lambda s, x: (lambda a, b: torch.cat([b, a.relu(), b], 1))(*x.split([1, c - 1], 1)))
    if c % 4 == 0 and h * w < 900:
        options.append(lambda s, x: F.pixel_shuffle(x, 2))
    return Does(chosen(random, *options))


def widened(random: Generator, shape: Shape) -> nn.Module:
    return nn.ConvTranspose2d(
        shape[0], number(random, 1, 6), chosen(random, 2, 3), chosen(random, 1, 2), 1 if min(shape[1:]) > 2 else 0
    )


BLOCKS: dict[str, Maker] = {
    "conv": conv, "conv and norm": lambda random, shape: (lambda one: nn.Sequential(one, norm(one.out_channels), nn.ReLU(True)))(conv(random, shape)),
    "paired": paired, "shortcut": shortcut, "pool": pool, "adaptive": adaptive, "padded": padded, "activation": activation, "normed": normed,
    "gated": gated, "convnext": convnext, "moved": moved, "widened": widened,
}  # fmt: skip
HEADS: dict[str, Callable[[Shape], nn.Module]] = {
    "mean": lambda s: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(s[0], 5)),
    "norm, mean": lambda s: nn.Sequential(norm(s[0]), nn.ReLU(), Does(lambda _, x: x.mean((-1, -2))), nn.Linear(s[0], 5), nn.ReLU(), nn.Linear(5, 4)),
    "sum": lambda s: nn.Sequential(Does(lambda _, x: x.sum((2, 3), keepdim=True)), nn.Conv2d(s[0], 4, 1), nn.Flatten()),
    "greatest": lambda s: nn.Sequential(Does(lambda _, x: x.amax((2, 3))), nn.Linear(s[0], 5)),
    "flat": lambda s: nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(s[0] * s[1] * s[2], 6), nn.BatchNorm1d(6), nn.ReLU(True), nn.Linear(6, 5)),
    "scores, then the mean": lambda s: nn.Sequential(nn.Conv2d(s[0], 4, 1), Does(lambda _, x: x.permute(0, 2, 3, 1).mean((1, 2)))),
    "two": lambda s: Does(lambda m, x: torch.cat([m.one(x.mean((2, 3))), m.two(x).amax((2, 3))], 1), one=nn.Linear(s[0], 3), two=nn.Conv2d(s[0], 2, 1)),
    "tokens": lambda s: nn.Sequential(nn.Flatten(2), Does(lambda _, x: x.transpose(1, 2)), nn.LayerNorm(s[0]), nn.Linear(s[0], 4), Does(lambda _, x: x.mean(1))),
}  # fmt: skip


def network(size: tuple[int, int], blocks: list[tuple[str, int]], head: str) -> nn.Module:
    """A net of blocks, each with the seed of its options; blocks that do not fit are left out."""
    torch.manual_seed(len(blocks))
    parts, x = [], torch.rand(2, 3, *size)
    for name, seed in blocks:
        part = BLOCKS[name](default_rng(seed), tuple(x.shape[1:])).eval()
        try:
            after = part(x.clone())
        except RuntimeError:  # a map that is too small
            continue
        if min(after.shape[2:]) >= 1 and after[0].numel() <= 40_000:
            parts, x = [*parts, part], after
    return nn.Sequential(*parts, HEADS[head](tuple(x.shape[1:]))).double().eval()


Blocks = st.lists(st.tuples(st.sampled_from(sorted(BLOCKS)), st.integers(0, 10**6)), min_size=1, max_size=6)
Sides = st.tuples(st.integers(1, 9), st.integers(1, 9))
GIVEN = given(
    size=st.sampled_from([(17, 17), (17, 23), (26, 19), (32, 32), (37, 52)]), blocks=Blocks, head=st.sampled_from(sorted(HEADS)), window=Sides,
    stride=Sides, border=st.sampled_from(["inside", "cut"]), fill=st.sampled_from(["noise", "blur", "mean", (0.9, 0.0, 0.3)]), follow=st.integers(0, 4),
)  # fmt: skip


def agrees(
    size: tuple[int, int],
    blocks: list[tuple[str, int]],
    head: str,
    window: tuple[int, int],
    stride: tuple[int, int],
    border: Border,
    fill: Fill,
    follow: int,
) -> None:
    """Scores of all positions, and sums of `follow` layers from the first to the last, against whole forwards."""
    try:
        net = Net(network(size, blocks, head), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), size)
    except UnsuitableNet:  # where images and channels are merged it is not always seen whose scores they are
        reject()
    stride = (max(stride[0], size[0] // 8), max(stride[1], size[1] // 8))  # no more than some 80 positions
    pixels = torch.rand(1, 3, *size, dtype=torch.float64)
    layers = list(net.layers[:: max(1, len(net.layers) // follow)])[-follow:] if follow else []
    units = [(layer, layer.units // 2) for layer in layers]
    images, shape = hidden_images(net, pixels, window, stride, border, fill)
    grid = positions(size, window, stride, border)
    assert grid.shape == shape
    with torch.no_grad():
        expected = net.scores(images)
        maps = net.outputs(images, [layer.name for layer in layers]) if layers else {}
    scale = float((expected - expected.mean(1, keepdim=True)).abs().max())
    assume(float(expected.std(0).nan_to_num().max()) > 1e-5 * scale > 0 or len(images) == 1)  # else it could not fail
    engine, found = Incremental(net, pixels, units), torch.full((len(images), net.classes), torch.nan).double()
    for batch in engine.run(grid, make_occluder(net, pixels, fill, window, 0)):
        at = torch.from_numpy(batch.rows * shape[1] + batch.columns)
        assert bool(found[at].isnan().all())  # each position once
        found[at] = batch.scores
        for place, (layer, unit) in enumerate(units):
            values = maps[layer.name][at, unit].reshape(len(at), -1)
            off = (batch.sums[:, place] - values.sum(1)).abs().max()
            assert float(off) <= EXACT * float(values.abs().sum(1).max()) + 1e-12, layer.name
    assert float((found - expected).abs().max()) <= EXACT * scale


pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch says it once a process
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=8, deadline=None, suppress_health_check=CHECKS)
@GIVEN
@example(
    size=(17, 23),
    blocks=[("paired", 0), ("paired", 5), ("pool", 1)],
    head="mean",
    window=(1, 1),
    stride=(2, 3),
    border="inside",
    fill="noise",
    follow=0,
)
def test_any_net_and_any_square(**drawn: Any) -> None:
    agrees(**drawn)


@pytest.mark.heavy
@pytest.mark.timeout(3000)
@settings(max_examples=1500, deadline=None, suppress_health_check=CHECKS)
@GIVEN
def test_many_more_nets(**drawn: Any) -> None:
    agrees(**drawn)
