"""Crops give what whole images give: value and signal of single cells, wherever they are; or they say that they cannot."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convscope import Net, NoRule, UnsuitableNet
from convscope.arrays import Place
from convscope.models.backward import Backward, Rule
from convscope.models.cropping import Crops
from convscope.models.layers import Layer
from convscope.models.patches import Patches, Wanted
from convscope.watch import Watch
from tests.laws.test_occlusion import BLOCKS, network
from tests.models.test_local_rules import conv, norm, shuffled
from tests.nets import Does

RULES: tuple[Rule, ...] = ("gradient", "deconvnet", "guided")
SIZE = (23, 27)
EXACT = 1e-9


def places_of(layer: Layer) -> list[Place]:
    """Corners, borders, the middle."""
    rows, columns = layer.shape[1:]
    ends = [sorted({0, length // 3, length - 1}) for length in (rows, columns)]
    return [Place(row, column) for row in ends[0] for column in ends[1]]


def compare(net: Net, layer: Layer, rule: Rule, kept: bool) -> bool:
    """Each place on an image of its own, in one batch of crops, against whole images; whether crops are possible."""
    backward = Backward(net, layer, rule)
    crops = Crops(backward)
    if not crops.possible:
        return False
    places = places_of(layer)
    units = [(7 * number) % layer.units for number in range(len(places))]
    pixels = torch.rand(len(places), 3, *net.size, dtype=torch.float64)
    values, signals = crops.signals(pixels, places, units, kept)
    chosen: list[Tensor] = []

    def begin(value: Tensor) -> list[Tensor]:
        start = torch.zeros_like(value)
        for number, (place, unit) in enumerate(zip(places, units, strict=True)):
            chosen.append(value[number, unit, place.row, place.column])
            start[number, unit, place.row, place.column] = chosen[-1] if kept else 1
        return [start]

    (expected,) = backward.signals(pixels, begin)
    wanted = torch.stack(chosen)
    assert values.shape == (len(places),)
    assert signals.shape == pixels.shape
    assert float((values - wanted).abs().max()) <= EXACT * max(1e-6, float(wanted.abs().max())), layer.name
    assert float((signals - expected).abs().max()) <= EXACT * max(1e-9, float(expected.abs().max())), (layer.name, rule)
    outside = torch.ones_like(signals, dtype=torch.bool)
    for number, (place, unit) in enumerate(zip(places, units, strict=True)):
        top, left, bottom, right = layer.input_box(unit, place)
        outside[number, :, int(top) : int(bottom), int(left) : int(right)] = False
    assert not signals[outside].any(), layer.name
    return True


def deep(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(4))


def split(s: Any, x: Tensor) -> Tensor:
    one, two = x.chunk(2, 1)
    return torch.cat([two.relu(), one, s.conv(two)], 1)


def middle(function: Callable[[Any, Tensor], Tensor], **parts: Any) -> nn.Module:
    return deep(conv(3, 8), Does(function, **parts), nn.ReLU(), nn.LazyConv2d(6, 3, padding=1), nn.ReLU())


NETS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: deep(conv(3, 6), nn.ReLU(True), conv(6, 8, 5), nn.ReLU(), conv(8, 5, (1, 4)), nn.ReLU6()),
    "strides": lambda: deep(conv(3, 6, 5, stride=2), nn.ReLU(), conv(6, 8, 3, stride=(1, 2)), nn.ReLU(True), conv(8, 6, 2, stride=2, padding=0), nn.ReLU()),
    "pools in ceil mode": lambda: deep(conv(3, 6), nn.ReLU(True), nn.MaxPool2d(3, 2, ceil_mode=True), conv(6, 6), nn.ReLU(), nn.MaxPool2d(2, 3, 1, ceil_mode=True), conv(6, 4), nn.ReLU()),
    "pools that overlap": lambda: deep(nn.MaxPool2d(3, 2, 1), conv(3, 6), nn.ReLU(), nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 1, 1), conv(6, 4), nn.ReLU()),
    "mean pools": lambda: deep(conv(3, 6), nn.ReLU(), nn.AvgPool2d(3, 2, 1), conv(6, 6), nn.ReLU(), nn.AvgPool2d((2, 3), (1, 2))),
    "dilation and groups": lambda: deep(conv(3, 6, dilation=(2, 3)), nn.ReLU(), conv(6, 6, 3, groups=3, dilation=2, padding=2), nn.ReLU(), nn.MaxPool2d(2, 1, dilation=2)),
    "SAME": lambda: deep(conv(3, 6, (4, 2), padding="same"), nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)), conv(6, 6, stride=2, padding=0), nn.ReLU(), conv(6, 4, (2, 5), padding="same", dilation=(3, 2)), nn.ReLU()),
    "BatchNorm folded": lambda: deep(conv(3, 6), norm(6), nn.ReLU(True), conv(6, 8, stride=2), norm(8), nn.ReLU()),
    "BatchNorm alone": lambda: deep(norm(3), conv(3, 6), nn.ReLU(), norm(6), conv(6, 8), nn.ReLU(), norm(8), nn.MaxPool2d(3, 2, 1), norm(8), nn.ReLU()),
    "response norm": lambda: deep(conv(3, 8), nn.ReLU(), nn.LocalResponseNorm(5, 1.0, 0.75, 1.0), nn.MaxPool2d(3, 2), conv(8, 6), nn.LocalResponseNorm(3, 0.5), nn.ReLU()),
    "leaks": lambda: deep(conv(3, 6), nn.LeakyReLU(0.2), conv(6, 6), nn.PReLU(6), conv(6, 4), nn.PReLU()),
    "joined": lambda: middle(lambda s, x: torch.cat([x, s.far(x).relu(), s.near(x), F.max_pool2d(x, 3, 1, 1)], 1), near=conv(8, 8, 1), far=conv(8, 4, 5)),
    "joined at the edges": lambda: middle(lambda s, x: torch.cat([s.two(s.one(x).relu()), s.two(x)], 1), one=conv(8, 8), two=conv(8, 8)),
    "residual": lambda: middle(lambda s, x: F.relu(s.norm(s.two(F.relu(s.one(x)))) + s.short(x), inplace=True), one=conv(8, 8, stride=2), two=conv(8, 8), norm=norm(8), short=conv(8, 8, 1, stride=2)),
    "split": lambda: middle(split, conv=conv(4, 4)),
    "unequal split": lambda: middle(lambda s, x: (lambda a, b: torch.cat([s.wide(b), a.relu(), b], 1))(*x.split([3, 5], 1)), wide=conv(5, 4, 5)),
    "shuffle": lambda: middle(lambda s, x: s.conv(shuffled(x)), conv=conv(8, 8, groups=4)),
    "channels last": lambda: middle(lambda s, x: s.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm=nn.LayerNorm(8)),
    "by hand": lambda: middle(lambda s, x: s.more(x * (x > 0)) + torch.where(x > 0, x, 0) + x.clamp(min=0), more=conv(8, 8)),
}  # fmt: skip
LIGHT = ("pools in ceil mode", "BatchNorm alone", "SAME", "split", "response norm")


def in_double(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    module = make().eval()
    module(torch.rand(1, 3, *SIZE))
    return module.double()


@pytest.mark.filterwarnings("ignore:Lazy modules", "ignore:Using padding")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy) if name not in LIGHT else name for name in NETS]
)
def test_crops_give_what_whole_images_give(name: str) -> None:
    """From every layer that is a map up to the mean over places, by one rule, and from the last one by all."""
    net = Net(in_double(NETS[name]), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), SIZE)
    torch.manual_seed(1)
    maps = [layer for layer in net.layers if layer.spatial and layer.alias_of is None and layer.shape[1:] != (1, 1)]
    done = [compare(net, layer, RULES[number % 3], kept=number % 2 == 0) for number, layer in enumerate(maps[:-1])]
    done += [compare(net, maps[-1], rule, kept=True) for rule in RULES]
    assert len(maps) >= 4
    assert all(done) or name == "channels last"
    assert any(done)


IMPOSSIBLE: dict[str, Callable[[], nn.Module]] = {
    "squeeze and excite": lambda: middle(lambda s, x: x * s.gate(x.mean((2, 3), keepdim=True)).sigmoid(), gate=conv(8, 8, 1)),
    "global pool": lambda: middle(lambda s, x: x + F.adaptive_avg_pool2d(x, 1)),
    "adaptive pool": lambda: middle(lambda s, x: F.adaptive_max_pool2d(x, (5, 4))),
    "group norm": lambda: middle(lambda s, x: F.group_norm(x, 2)),
    "reflection": lambda: middle(lambda s, x: F.pad(x, (2, 2, 1, 1), mode="reflect")),
    "other padding": lambda: middle(lambda s, x: F.pad(x, (1, 1, 1, 1), value=0.7)),
    "upsampled": lambda: middle(lambda s, x: F.interpolate(x, scale_factor=2)),
    "learnt map": lambda: middle(lambda s, x: x * s.map, map=torch.rand(8, *SIZE)),
    "branches of different stride": lambda: middle(lambda s, x: s.fine(x) + F.interpolate(s.coarse(x)[:, :, :12, :14], SIZE), fine=conv(8, 8), coarse=conv(8, 8, stride=2)),
    "greatest of a map": lambda: middle(lambda s, x: x * x.amax((2, 3), keepdim=True)),
    "flipped": lambda: middle(lambda s, x: x.flip(3)),
    "mean pool at the edges": lambda: middle(lambda s, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy) if at > 1 else name for at, name in enumerate(IMPOSSIBLE)]
)
def test_what_no_crop_can_tell_is_said(name: str) -> None:
    """Before the operator crops are possible, behind it they are not."""
    net = Net(in_double(IMPOSSIBLE[name]), size=SIZE)
    last = [layer for layer in net.layers if layer.spatial and layer.kind == "relu"][-1]
    assert not Crops(Backward(net, last)).possible
    assert Crops(Backward(net, net.layer("0"))).possible
    assert not Crops(Backward(net, net.output_layer)).possible
    torch.manual_seed(1)
    assert compare(net, net.layer("0"), "gradient", kept=True)


def test_a_crop_costs_less() -> None:
    torch.manual_seed(0)
    net = Net(nn.Sequential(*[conv(3, 3) for _ in range(3)], nn.Flatten(), nn.Linear(3 * 23 * 27, 2)), size=SIZE)
    first, last = (Crops(Backward(net, net.layer(name))) for name in ("0", "2"))
    assert first.share() == pytest.approx(1 / (23 * 27))
    assert last.share() == pytest.approx((25 + 9 + 1) / (3 * 23 * 27))


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_places_at_opposite_corners_in_one_batch_and_alone() -> None:
    net = Net(in_double(NETS["pools in ceil mode"]), size=SIZE)
    layer = next(layer for layer in net.layers if layer.name == "7")
    rows, columns = layer.shape[1:]
    places = [Place(0, 0), Place(rows - 1, columns - 1), Place(0, columns - 1), Place(rows - 1, 0)]
    torch.manual_seed(0)
    pixels = torch.rand(4, 3, *SIZE, dtype=torch.float64)
    crops = Crops(Backward(net, layer, "guided"))
    values, signals = crops.signals(pixels, places, [0, 1, 2, 3], kept=False)
    for number, place in enumerate(places):
        value, signal = crops.signals(pixels[number : number + 1], [place], [number], kept=False)
        torch.testing.assert_close(value[0], values[number], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(signal[0], signals[number], rtol=1e-10, atol=1e-12)


Blocks = st.lists(st.tuples(st.sampled_from(sorted(BLOCKS)), st.integers(0, 10**6)), min_size=1, max_size=5)
GIVEN = given(size=st.sampled_from([(17, 17), (17, 23), (26, 19), (32, 37)]), blocks=Blocks, seed=st.integers(0, 100))
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def agrees(size: tuple[int, int], blocks: list[tuple[str, int]], seed: int) -> None:
    """Some layers of any net: by crops as on whole images, if crops are possible and the rule has a meaning."""
    try:
        net = Net(network(size, blocks, "mean"), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), size)
    except UnsuitableNet:
        reject()
    maps = [layer for layer in net.layers if layer.spatial and layer.alias_of is None]
    torch.manual_seed(seed)
    for number in {seed % len(maps), len(maps) - 2, len(maps) // 2}:
        for rule in RULES:
            try:
                compare(net, maps[number], rule, kept=seed % 2 == 0)
            except NoRule:
                continue


@pytest.mark.filterwarnings("ignore:Using padding")
@settings(max_examples=2, deadline=None, suppress_health_check=CHECKS)
@GIVEN
def test_any_net(size: tuple[int, int], blocks: list[tuple[str, int]], seed: int) -> None:
    agrees(size, blocks, seed)


@pytest.mark.heavy
@pytest.mark.timeout(3000)
@pytest.mark.filterwarnings("ignore:Using padding")
@settings(max_examples=200, deadline=None, suppress_health_check=CHECKS)
@GIVEN
def test_many_more_nets(size: tuple[int, int], blocks: list[tuple[str, int]], seed: int) -> None:
    agrees(size, blocks, seed)


def test_one_rule_says_how_much_runs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops: what costs as much as 2.5 whole images, fewer where images are large; whole images: one after the other."""
    torch.manual_seed(0)
    net = Net(nn.Sequential(*[conv(3, 3) for _ in range(3)], nn.Flatten(), nn.Linear(3 * 23 * 27, 2)), size=SIZE)
    patches = Patches(net, net.layer("2"), "gradient")
    assert patches.crops is not None
    count = int(2.5 / ((25 + 9 + 1) / (3 * 23 * 27)))
    assert patches.crops.at_once() == count == 133
    wanted = [Wanted(number % 7, number % 3, Place(number % 23, number % 27)) for number in range(300)]
    pixels = torch.rand(7, 3, *SIZE)

    class Told(Watch):
        def progress(self, done: int, total: int, unit: str) -> None:
            told.append(done)

    told: list[int] = []
    values, signals = patches.signals(wanted, lambda number: pixels[number], Told())
    assert told == [133, 266, 300]
    monkeypatch.setattr("convscope.models.cropping.ROOM", 36 * 23 * 27 * 20.5)
    assert patches.crops.at_once() == 20
    patches.crops, told = None, []
    expected, whole = patches.signals(wanted, lambda number: pixels[number], Told())
    assert told == [43, 86, 129, 172, 215, 258, 300]
    assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)
    for one, other in zip(signals, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
