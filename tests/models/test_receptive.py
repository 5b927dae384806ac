"""A receptive box equals the support of the gradient, on random networks of every operator, and the published tables."""

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import convscope
from tests.nets import Branches

pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same.")
Step = tuple[str, tuple[int, ...]]
SIZE = (19, 22)


def positive(part: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
    """Weights and biases above zero, so that no ReLU hides what a cell can see, also where it sees only padding."""
    nn.init.uniform_(part.weight, 0.5, 1.5)
    part.weight.data /= part.weight[0].numel()
    nn.init.uniform_(part.bias, 0.1, 0.5)


class Body(nn.Module):
    """A random stack of steps; the twin with average pools in place of max pools has the same receptive fields."""

    def __init__(self, steps: list[Step], average: bool) -> None:
        super().__init__()
        self.average = average
        self.parts = nn.ModuleList()
        self.steps: list[Callable[[Tensor], Tensor]] = []
        x = torch.rand(1, 3, *SIZE)
        for name, numbers in steps:
            step = self.make(name, numbers, x)
            try:
                after = step(x) if step else x
            except RuntimeError:  # the map became too small for this step
                continue
            if step and after.shape[2] * after.shape[3] > 0 and after.shape[1] <= 48 and max(after.shape[2:]) <= 64:
                self.steps.append(step)
                x = after

    def conv(self, channels: int, out: int, kernel: tuple[int, int], **options: object) -> nn.Conv2d:
        part = nn.Conv2d(channels, out, kernel, **options)  # type: ignore[arg-type]
        positive(part)
        self.parts.append(part)
        return part

    def make(self, name: str, n: tuple[int, ...], x: Tensor) -> Callable[[Tensor], Tensor] | None:
        channels = x.shape[1]
        a, b, c, d = n
        if name == "conv":
            return self.conv(
                channels,
                4,
                (a + 1, b + 1),
                stride=(c + 1, d % 2 + 1),
                padding=(a // 2, b // 2),
                dilation=(d % 2 + 1, 1),
            )
        if name == "grouped":
            return self.conv(channels, channels * 2, (3, 3), padding=1, groups=channels if channels % 2 else 2)
        if name == "depthwise":
            return self.conv(channels, channels, (3, 2), stride=(1, 2), padding=(1, 0), groups=channels)
        if name == "border":
            mode = ("zeros", "reflect", "replicate", "circular")[a]
            return self.conv(channels, 4, (3, 3), padding=1, padding_mode=mode)
        if name == "same":
            return self.conv(channels, 4, (a + 1, b + 1), padding="same", dilation=(c % 2 + 1, d % 2 + 1))
        if name == "transposed":
            part = nn.ConvTranspose2d(
                channels,
                4,
                (a + 1, b + 2),
                stride=(c % 2 + 1, d % 3 + 1),
                padding=(0, b // 3),
                output_padding=0,
            )
            positive(part)
            self.parts.append(part)
            return part
        if name == "pool":
            kernel, stride, padding, ceil = (
                (a + 1, b + 1),
                (c + 1, d % 2 + 1),
                ((a + 1) // 2, (b + 1) // 2),
                bool(d % 2),
            )
            if self.average:
                return lambda x: F.avg_pool2d(x, kernel, stride, padding, ceil_mode=ceil, count_include_pad=False)
            return lambda x: F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)
        if name == "adaptive":
            return lambda x: F.adaptive_avg_pool2d(x, (min(x.shape[2], a + 3), min(x.shape[3], b + 4)))
        if name == "pad":
            return lambda x: F.pad(x, (a, b, c, d))
        if name == "crop":
            return lambda x: x[:, :, a % 3 : x.shape[2] - b % 3 : c % 2 + 1, d % 2 :]
        if name == "nearest":
            return lambda x: F.interpolate(x, scale_factor=a % 2 + 2)
        if name == "resize":
            mode = ("bilinear", "bicubic")[a % 2]
            return lambda x: F.interpolate(
                x, size=(x.shape[2] + b + 1, x.shape[3] * 2 - c), mode=mode, align_corners=bool(d % 2)
            )
        if name == "channels last":
            part = nn.Linear(channels, 5)
            positive(part)
            self.parts.append(part)
            return lambda x: F.relu(part(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        if name == "branches":
            near, far = (
                self.conv(channels, 2, (1, 1)),
                self.conv(channels, 3, (a + 1, 5), padding=((a + 1) // 2, 2)),
            )
            return lambda x: torch.cat([far(x)[:, :, : x.shape[2], : x.shape[3]], near(x)[:, :, : far(x).shape[2]]], 1)
        if name == "unequal strides":
            coarse = self.conv(channels, channels, (3, 3), stride=2, padding=1)
            return lambda x: x + F.interpolate(coarse(x), size=x.shape[2:])
        if name == "residual":
            part = self.conv(channels, channels, (3, 3), padding=1)
            return lambda x: F.relu(x + part(F.relu(x)))
        if name == "shuffle":
            groups = 2 if channels % 2 == 0 else 1
            return lambda x: (
                x.view(x.shape[0], groups, channels // groups, *x.shape[2:]).transpose(1, 2).reshape(x.shape)
            )
        if name == "split":
            part = self.conv(channels - channels // 2, 3, (3, 3), padding=1)
            return (
                (
                    lambda x: torch.cat(
                        [
                            x[:, : channels // 2],
                            part(x.split([channels // 2, channels - channels // 2], 1)[1]),
                        ],
                        1,
                    )
                )
                if channels > 1
                else None
            )
        if name == "pixel shuffle":
            part = self.conv(channels, 8, (1, 1))
            return lambda x: F.pixel_shuffle(part(x), 2)
        if name == "space to depth":
            return lambda x: F.pixel_unshuffle(x, 2)
        if name == "turned":
            return lambda x: (x.flip(3), x.roll((1, 2), (2, 3)))[a % 2]
        if name == "response norm":
            return lambda x: F.local_response_norm(x, a + 1)
        gate = self.conv(channels, channels, (1, 1))
        return lambda x: x * gate(F.adaptive_avg_pool2d(x, 1))  # squeeze and excite, without a sigmoid that saturates

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x * 1.0


class Headed(nn.Module):
    """A body and the mean of its maps as scores."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean((2, 3))


NAMES = (
    "conv", "grouped", "depthwise", "border", "same", "transposed", "pool", "adaptive", "pad", "crop", "nearest", "resize",
    "channels last", "branches", "unequal strides", "residual", "shuffle", "split", "pixel shuffle", "space to depth",
    "turned", "response norm", "gate",
)  # fmt: skip
small = st.integers(0, 3)
step = st.tuples(st.sampled_from(NAMES), st.tuples(small, small, small, small))


def support(x: Tensor, maps: Tensor, unit: int, row: int, column: int) -> tuple[int, int, int, int] | None:
    """The hull of the pixels x with a gradient: top, left, bottom, right; None where there is none."""
    (gradient,) = torch.autograd.grad(maps[0, unit, row, column], x, retain_graph=True)
    seen = gradient[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def compare(steps: list[Step]) -> None:
    torch.manual_seed(0)
    net = convscope.Net(Headed(Body(steps, average=False)), size=SIZE)
    torch.manual_seed(0)
    twin = Body(steps, average=True)
    x = (torch.rand(1, 3, *SIZE) + 0.5).requires_grad_()
    maps = twin(x)
    units, rows, columns = net.layer("body").shape
    for unit in sorted({0, units // 2, units - 1}):
        for row in sorted({0, rows // 2, rows - 1}):
            for column in sorted({0, columns // 3, columns - 1}):
                found = net.input_box(f"body:{unit}@{row},{column}")
                assert tuple(found) == (support(x, maps, unit, row, column) or (0, 0, 0, 0)), (
                    steps,
                    unit,
                    row,
                    column,
                )


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_alone_equals_the_support_of_the_gradient(name: str) -> None:
    for numbers in ((0, 1, 0, 0), (3, 2, 1, 3)):
        compare([("conv", (2, 2, 0, 0)), (name, numbers)])


@settings(max_examples=15, deadline=None)
@given(st.lists(step, min_size=2, max_size=5))
def test_random_networks_equal_the_support_of_the_gradient(steps: list[Step]) -> None:
    compare(steps)


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@settings(max_examples=200, deadline=None)
@given(st.lists(step, min_size=1, max_size=7))
def test_many_random_networks_equal_the_support_of_the_gradient(steps: list[Step]) -> None:
    compare(steps)


class Folded(nn.Module):
    """Maps put into the batch and cut there, as attention with relative positions does (BoTNet, HaloNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x)
        height, width = maps.shape[2:]
        cut = maps.reshape(-1, height, width)[:, :-1, 1:]
        return cut.reshape(-1, 4, height - 1, width - 1)


def test_maps_folded_into_the_batch_see_no_less_than_they_do() -> None:
    net = convscope.Net(nn.Sequential(Folded(), nn.Conv2d(4, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), size=SIZE)
    units, rows, columns = net.layer("1").shape
    assert (units, rows, columns) == (4, SIZE[0] - 3, SIZE[1] - 3)
    top, left, bottom, right = net.input_box(f"1:2@{rows - 1},{columns - 1}")
    assert top <= rows - 1 < rows + 2 <= bottom
    assert left <= columns < columns + 3 <= right


def test_units_of_unequal_branches_keep_their_own_boxes() -> None:
    net = convscope.Net(Branches(), size=(16, 16))
    assert net.input_box("/cat#1:0@8,8") == (8, 8, 9, 9)
    assert net.input_box("/cat#1:3@8,8") == (6, 6, 11, 11)


def vgg16() -> nn.Module:
    """Without its classifier: 120 million weights that the table does not name."""
    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    return nn.Sequential(OrderedDict(features=features, mean=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten()))


def valid_alexnet() -> nn.Module:
    """The VALID AlexNet of the receptive-field paper's code."""

    def conv(i: int, o: int, k: int, s: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(i, o, k, s, padding=0 if k == 11 else k // 2), nn.ReLU()]

    body = nn.Sequential(
        *conv(3, 8, 11, 4), nn.MaxPool2d(3, 2), *conv(8, 8, 5), nn.MaxPool2d(3, 2),
        *conv(8, 8, 3), *conv(8, 8, 3), *conv(8, 8, 3), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten())


TABLES = [  # network, input, {layer: (size, stride, padding)}
    (vgg16, 224, {"features.0": (3, 1, 1), "features.4": (6, 2, 2), "features.9": (16, 4, 6), "features.16": (44, 8, 18),
                  "features.17": (60, 8, 26), "features.23": (100, 16, 42), "features.26": (164, 16, 74), "features.30": (212, 32, 90)}),
    (valid_alexnet, 227, {"0.0": (11, 4, 0), "0.2": (19, 8, 0), "0.3": (51, 8, 16), "0.6": (99, 16, 32),
                          "0.8": (131, 16, 48), "0.10": (163, 16, 64), "0.12": (195, 32, 64)}),
    (torchvision.models.resnet18, 224, {"layer4": (435, 32, 217)}),
    (torchvision.models.resnet50, 224, {"layer4": (427, 32, 213)}),
    (lambda: torchvision.models.inception_v3(init_weights=False), 299,
     {"Mixed_5b": (63, 8, None), "Mixed_6a": (159, 16, None), "Mixed_6e": (927, 16, None), "Mixed_7c": (1311, 32, 618)}),
]  # fmt: skip
NAMES = ["vgg16", "alexnet", "resnet18", "resnet50", "inception"]
HEAVY = {"inception": [pytest.mark.heavy]}


@pytest.mark.parametrize(
    ("make", "side", "expected"),
    [pytest.param(*row, id=name, marks=HEAVY.get(name, [])) for name, row in zip(NAMES, TABLES, strict=True)],
)
def test_published_receptive_fields(
    make: Callable[[], nn.Module], side: int, expected: dict[str, tuple[int, int, int | None]]
) -> None:
    net = convscope.Net(make(), size=(side, side))
    for name, (size, stride, padding) in expected.items():
        field = net.layer(name).receptive
        assert (field.status, field.size, field.stride) == ("exact", (size, size), (stride, stride)), name
        if padding is not None:
            assert field.offset == (-padding, -padding), name


def test_centres_and_code_of_torchvision_alexnet() -> None:
    net = convscope.Net(torchvision.models.alexnet(), size=(224, 224))
    code = net.code_layer  # fc7 after its ReLU, 4096-d, as CS231n asks
    assert (code.name, code.units, code.rectified) == ("classifier.5", 4096, True)
    centres = {"features.0": 3.0, "features.2": 7.0, "features.6": 15.0, "features.12": 31.0}
    for name, centre in centres.items():
        assert net.layer(name).receptive.centre == (centre, centre), name
    assert net.layer("classifier").receptive.status == "whole image"
