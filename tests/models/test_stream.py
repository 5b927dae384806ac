"""The stream of a build gives what the network's outputs are, whatever it folds, overwrites and forgets."""

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import convscope
from convscope.models.functional import NORM
from convscope.models.steps import IN_PLACE, scale
from convscope.models.stream import Stream
from tests.digits import untrained_digits
from tests.nets import Branches, Planted, Quarter, Spellings, small_classifier


def settled(module: nn.Module, side: int) -> nn.Module:
    """BatchNorms with statistics of real batches and with gains and shifts that are not trivial."""
    torch.manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.momentum = 0.5
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, std=0.3)
    module.train()
    with torch.no_grad():
        for _ in range(3):
            module(torch.rand(4, 3, side, side))
    return module.eval()


def shown(net: convscope.Net, names: list[str], pixels: Tensor) -> dict[str, Tensor]:
    """What a stream shows of some layers."""
    found: dict[str, Tensor] = {}
    order: list[str] = []

    def look(name: str, value: Tensor) -> None:
        assert name not in found, f"{name} was shown twice"
        found[name] = value.clone()
        order.append(name)

    Stream(net, names).run(pixels, look)
    positions = {layer.name: place for place, layer in enumerate(net.layers)}
    nodes = {layer.name: layer.node for layer in net.layers}
    ranks = [positions[next(name for name, node in nodes.items() if node is nodes[own])] for own in order]
    assert ranks == sorted(ranks), "not in the order of computation"
    return found


def assert_equal(net: convscope.Net, names: list[str], pixels: Tensor, close: float = 1e-5) -> dict[str, Tensor]:
    """Every layer asked for is shown once, and equal to `outputs` within 1e-5 of its greatest size."""
    found = shown(net, names, pixels)
    assert set(found) == set(names)
    expected = net.outputs(pixels, names)
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert found[name].dtype == value.dtype, name
        size = float(value.abs().max())
        assert float((found[name] - value).abs().max()) <= close * size + 1e-12, name
    return found


class Residual(nn.Module):
    """A value that is read twice, rectifiers in place behind sums, and modules that are used again."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.again = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        y = self.act(self.norm(self.two(x)))
        y = self.act(self.again(self.two(y)) + x)  # `two` again, with another BatchNorm; x is read a second time
        y = self.act(y.add_(x))
        z = y + 1
        return self.head((self.act(z) + y.relu()).mean((2, 3)))


class Views(nn.Module):
    """Values that share memory with others: reshaped, permuted, cut and joined before they are rectified."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.shrink = nn.Conv2d(8, 4, 1)
        self.head = nn.Linear(4 * 64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        aside = F.relu(x.flatten(2)).mean((1, 2)) + F.relu(x.transpose(2, 3)).mean(
            (1, 2, 3)
        )  # of views of x, read below
        shuffled = x.view(x.shape[0], 2, 4, 8, 8).transpose(1, 2).reshape(x.shape[0], 8, 8, 8)
        low, high = shuffled.chunk(2, 1)
        joined = torch.cat([F.relu(low), low, high.relu_()], 1)[:, 2:10]
        y = F.relu(self.shrink(joined))
        flat = y.permute(0, 2, 3, 1).flatten(1)
        return self.head(F.relu(flat) + flat) + aside[:, None]


class Norms(nn.Module):
    """BatchNorm where it can be folded and where it cannot: read twice, without statistics, behind tokens, alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.folded = nn.BatchNorm2d(6)
        self.grouped = nn.Conv2d(6, 6, 3, padding=1, groups=3)
        self.plain = nn.BatchNorm2d(6, affine=False)
        self.shared = nn.Conv2d(6, 6, 1)
        self.left, self.right = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.tokens = nn.Linear(6, 6)
        self.over_tokens = nn.BatchNorm1d(64)
        self.narrow = nn.Linear(6, 5)
        self.last = nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.folded(self.conv(x)))
        x = F.relu(self.plain(self.grouped(x)))
        y = self.shared(x)
        x = F.relu(self.left(y)) + F.relu(self.right(y))
        t = self.over_tokens(self.tokens(x.flatten(2).transpose(1, 2)))
        return self.last(self.narrow(F.relu(t).mean(1)))


class OfTheBatch(nn.Module):
    """A BatchNorm that keeps no statistics, straight behind a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x))).mean((2, 3))


class Mixed(nn.Module):
    """A sum whose second part is of higher precision than its first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("shift", torch.full((1, 4, 1, 1), 0.1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = (x * 1) + self.shift.expand(1, 4, x.shape[2], x.shape[3])
        return torch.relu(y).mean((2, 3)).float()


class Smooth(nn.Module):
    """The other activations that may overwrite what they read, each once with and once without another reader."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1) for i in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.convs[0](x))
        x = F.hardswish(self.convs[1](x), inplace=True)
        x = F.relu6(self.convs[2](x))
        y = self.convs[3](x)
        return (F.silu(y) + F.hardswish(y) + F.hardtanh(y) + x).mean((2, 3))


TINY: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "quarter": (Quarter, 8),
    "spellings": (Spellings, 12),
    "branches": (Branches, 12),
    "planted": (Planted, 8),
    "small classifier": (small_classifier, 16),
    "digits": (untrained_digits, 16),
    "residual": (Residual, 8),
    "views": (Views, 8),
    "norms": (Norms, 8),
    "of the batch": (OfTheBatch, 8),
    "mixed": (Mixed, 8),
    "smooth": (Smooth, 8),
}


@pytest.fixture(scope="module", params=TINY)
def tiny(request: pytest.FixtureRequest) -> convscope.Net:
    make, side = TINY[request.param]
    torch.manual_seed(0)
    return convscope.Net(
        settled(make(), side), size=(side, side), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), name=request.param
    )


def test_every_layer_is_shown_as_it_is(tiny: convscope.Net) -> None:
    assert_equal(tiny, [layer.name for layer in tiny.layers], torch.rand(3, 3, *tiny.size))


def test_each_layer_alone_and_each_pair_is_shown_as_it_is(tiny: convscope.Net) -> None:
    """What is folded, overwritten and forgotten depends on what is asked for."""
    pixels, names = torch.rand(2, 3, *tiny.size), [layer.name for layer in tiny.layers]
    for first in range(len(names)):
        assert_equal(tiny, [names[first]], pixels)
        for second in range(first + 1, len(names)):
            assert_equal(tiny, [names[second], names[first]], pixels)


def test_a_run_leaves_weights_and_pixels_as_they_were_and_can_be_repeated(tiny: convscope.Net) -> None:
    pixels = torch.rand(2, 3, *tiny.size)
    before, given = {name: value.clone() for name, value in tiny.weights.items()}, pixels.clone()
    stream, runs = Stream(tiny, list(tiny.watched_layers)), []
    for _ in range(2):
        found: dict[str, Tensor] = {}
        stream.run(pixels, lambda name, value, kept=found: kept.update({name: value.clone()}))  # type: ignore[misc]
        runs.append(found)
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert torch.equal(pixels, given)
    assert all(torch.equal(value, before[name]) for name, value in tiny.weights.items())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels last"])
def test_the_size_of_a_batch_and_its_layout_change_nothing(tiny: convscope.Net, layout: torch.memory_format) -> None:
    if tiny.name == "of the batch":
        pytest.skip("a BatchNorm without statistics takes those of its batch")
    pixels, names = torch.rand(3, 3, *tiny.size).contiguous(memory_format=layout), list(tiny.watched_layers)
    together = assert_equal(tiny, names, pixels)
    alone = [shown(tiny, names, pixels[image : image + 1]) for image in range(3)]
    for name in names:
        apart = torch.cat([one[name] for one in alone])
        assert float((apart - together[name]).abs().max()) <= 1e-5 * float(together[name].abs().max()) + 1e-12, name


def test_a_batchnorm_is_folded_only_where_nobody_asked_between() -> None:
    net = convscope.Net(settled(Norms(), 8), size=(8, 8))
    norms = sum(node.target is NORM for node in net.graph.nodes)
    assert norms == 6

    def left(names: list[str]) -> int:
        return sum(step.operator is scale for step in Stream(net, names).steps.all)

    assert left(["last"]) == 3  # two that share a convolution, and the one over tokens
    assert left(["conv", "last"]) == 4
    assert left(["folded", "grouped", "last"]) == 4
    assert left(["folded"]) == 0


def test_rectifiers_work_in_place_where_they_may() -> None:
    """Otherwise the tests above would show nothing: the trick is at work, and only where nobody else reads."""
    fast = set(IN_PLACE.values())
    steps = Stream(convscope.Net(small_classifier(), size=(16, 16)), ["2", "5", "9"]).steps.all
    assert sum(step.operator in fast for step in steps) == 2
    net = convscope.Net(Residual(), size=(8, 8))
    kinds = [step.operator.__name__ for step in Stream(net, ["head"]).steps.all if step.operator in fast]
    assert kinds == ["relu_.default", "add_.Tensor", "relu_.default", "relu_.default", "relu_.default"]


def test_values_are_forgotten_after_their_last_reader() -> None:
    """However deep the network is, only what is still read is in memory."""
    torch.manual_seed(0)
    deep = nn.Sequential(*[nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()) for _ in range(40)], nn.Flatten())
    net = convscope.Net(deep, size=(32, 32))
    alive: list[int] = []
    seen: list[weakref.ref[Tensor]] = []

    def look(name: str, value: Tensor) -> None:
        alive.append(sum(reference() is not None for reference in seen))
        seen.append(weakref.ref(value))

    gc.disable()
    try:
        Stream(net, [layer.name for layer in net.layers]).run(torch.rand(2, 3, 32, 32), look)
    finally:
        gc.enable()
    assert len(alive) >= 81
    assert max(alive) <= 3  # one tensor under its two names, and what it was computed from


def test_a_layer_that_nobody_reads_is_forgotten_once_it_was_shown() -> None:
    net = convscope.Net(small_classifier(), size=(16, 16))
    steps = Stream(net, ["2", "9"]).steps.all
    freed = [node for step in steps for node in step.done_with]
    assert sorted(node.name for node in freed) == sorted(step.node.name for step in steps)


ZOO: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "alexnet": (torchvision.models.alexnet, 64),
    "resnet18": (torchvision.models.resnet18, 64),
}
HEAVY: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, 64),
    "vgg11_bn": (torchvision.models.vgg11_bn, 64),
    "resnet50": (torchvision.models.resnet50, 64),
    "densenet121": (torchvision.models.densenet121, 64),
    "googlenet": (lambda: torchvision.models.googlenet(init_weights=False), 96),
    "inception_v3": (lambda: torchvision.models.inception_v3(init_weights=False), 299),
    "shufflenet_v2": (torchvision.models.shufflenet_v2_x0_5, 64),
    "mobilenet_v2": (torchvision.models.mobilenet_v2, 64),
    "squeezenet1_1": (torchvision.models.squeezenet1_1, 64),
    "efficientnet_b0": (torchvision.models.efficientnet_b0, 64),
    "regnet_y_400mf": (torchvision.models.regnet_y_400mf, 64),
    "convnext (timm)": (lambda: timm.create_model("convnext_atto"), 64),
    "convnext_tiny": (torchvision.models.convnext_tiny, 64),
    "hrnet": (lambda: timm.create_model("hrnet_w18_small"), 64),
    "nfnet": (lambda: timm.create_model("dm_nfnet_f0"), 64),
    "levit_128s": (lambda: timm.create_model("levit_128s"), 224),
    "edgenext_xx_small": (lambda: timm.create_model("edgenext_xx_small"), 64),
    "mobilevit_xxs": (lambda: timm.create_model("mobilevit_xxs"), 64),
}


@pytest.mark.parametrize("name", [*ZOO, *(pytest.param(name, marks=pytest.mark.heavy) for name in HEAVY)])
def test_real_architectures_are_shown_as_they_are(name: str) -> None:
    """The watched layers as a build asks for them, and all layers at once; weights stay as they were."""
    make, side = (ZOO | HEAVY)[name]
    torch.manual_seed(0)
    net = convscope.Net(settled(make(), side), size=(side, side), name=name)
    before = {key: value.clone() for key, value in net.weights.items()}
    pixels, close = torch.rand(3, 3, side, side), 3e-5 if name in HEAVY else 1e-5  # rounding grows with the depth
    together = assert_equal(net, list(net.watched_layers), pixels, close)
    assert_equal(net, [layer.name for layer in net.layers], pixels, close)
    first = shown(net, list(net.watched_layers), pixels[:1])
    for key, value in first.items():
        assert float((value - together[key][:1]).abs().max()) <= close * float(together[key].abs().max()) + 1e-12, key
    assert all(torch.equal(value, before[key]) for key, value in net.weights.items())


@pytest.fixture(scope="module")
def bundled() -> convscope.Net:
    return convscope.load("efficientnet-lite0", size=(96, 96))


def test_the_bundled_network_is_shown_as_it_is(bundled: convscope.Net) -> None:
    """Some of its BatchNorms have large gains, so that rounding alone comes to 2.5e-5 of its ceilings."""
    assert_equal(bundled, list(bundled.watched_layers), torch.rand(2, 3, *bundled.size), 5e-5)


@pytest.mark.heavy
def test_the_bundled_network_is_as_exact_as_its_outputs(bundled: convscope.Net) -> None:
    """Folded or not: both are as near to float64."""
    assert bundled._module is not None
    pixels, names = torch.rand(2, 3, *bundled.size), list(bundled.watched_layers)
    exact = convscope.Net(copy.deepcopy(bundled._module).double(), preprocess=bundled.preprocess)
    truth, ours, plain = exact.outputs(pixels, names), shown(bundled, names, pixels), bundled.outputs(pixels, names)
    for name in names:
        errors = [float((value[name] - truth[name]).abs().mean()) for value in (ours, plain)]
        assert errors[0] <= 2 * errors[1] + 1e-7, name
