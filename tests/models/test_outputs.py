"""Outputs equal what hooks see, over real architectures, and the network is left as it was."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import convscope
from tests.nets import Branches, Spellings, small_classifier

tv = torchvision.models
ZOO: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "alexnet": (tv.alexnet, 96),
    "vgg11_bn": (tv.vgg11_bn, 64),
    "resnet18": (tv.resnet18, 96),
    "resnet50": (tv.resnet50, 64),
    "googlenet": (lambda: tv.googlenet(init_weights=False), 96),
    "inception_v3": (lambda: tv.inception_v3(init_weights=False), 299),
    "densenet121": (tv.densenet121, 64),
    "squeezenet1_1": (tv.squeezenet1_1, 96),
    "mobilenet_v2": (tv.mobilenet_v2, 96),
    "mobilenet_v3_small": (tv.mobilenet_v3_small, 96),
    "efficientnet_b0": (tv.efficientnet_b0, 96),
    "convnext_tiny": (tv.convnext_tiny, 96),
    "shufflenet_v2": (tv.shufflenet_v2_x0_5, 96),
    "regnet_y_400mf": (tv.regnet_y_400mf, 64),
    "hrnet": (lambda: timm.create_model("hrnet_w18_small"), 64),
    "nfnet": (lambda: timm.create_model("dm_nfnet_f0"), 64),
    "tf_efficientnet_lite0": (lambda: timm.create_model("tf_efficientnet_lite0"), 96),
    "convnext (timm)": (lambda: timm.create_model("convnext_atto"), 64),
}
# what others show too, but slower: `make test-all` runs it
SLOW = frozenset(
    [
        "vgg11_bn",
        "densenet121",
        "inception_v3",
        "mobilenet_v2",
        "regnet_y_400mf",
        "hrnet",
        "nfnet",
        "efficientnet_b0",
        "shufflenet_v2",
        "resnet50",  # resnet18
        "convnext (timm)",  # convnext_tiny
        "googlenet",  # squeezenet1_1 joins branches too
        "tf_efficientnet_lite0",  # the bundled network's stream equals its outputs: test_stream
    ]
)


def heavy(name: str) -> Any:
    """A test case that takes long."""
    return pytest.param(name, marks=pytest.mark.heavy)


def state_of(module: nn.Module) -> dict[str, Any]:
    """Everything that a tool could leave behind."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "bytes": {name: value.clone() for name, value in module.state_dict().items()},
        "training": {name: part.training for name, part in module.named_modules()},
        "gradients": {name: (p.requires_grad, p.grad, id(p)) for name, p in module.named_parameters()},
        "hooks": Counter(
            {(name, kind): len(getattr(part, kind)) for name, part in module.named_modules() for kind in hooks}
        ),
        "attributes": {
            name: [(key, id(value)) for key, value in vars(part).items() if not key.startswith("_")]
            for name, part in module.named_modules()
        },
    }


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    for name, value in before.pop("bytes").items():
        assert torch.equal(value, after["bytes"][name]), name
    after.pop("bytes")
    assert before == after


def seen_by_hooks(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """A clone of every module's value at every call, named as Convscope names it."""
    seen: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()

    def keep(name: str) -> Callable[..., None]:
        def hook(part: nn.Module, arguments: Any, value: Any) -> None:
            calls[name] += 1
            if isinstance(value, Tensor):
                seen[name if calls[name] == 1 else f"{name}#{calls[name]}"] = value.detach().clone()

        return hook

    handles = [part.register_forward_hook(keep(name)) for name, part in module.named_modules() if name]
    with torch.no_grad():
        module(x)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", [heavy(name) if name in SLOW else name for name in ZOO])
def test_outputs_equal_hooks_and_the_network_is_untouched(name: str) -> None:
    make, side = ZOO[name]
    torch.manual_seed(0)
    module = make().train()
    with torch.no_grad():
        module(torch.rand(2, 3, side, side))  # BatchNorm statistics in a sane state
    before = state_of(module)
    net = convscope.Net(module, size=(side, side), name=name)
    x = torch.rand(2, 3, side, side)
    names = [layer.name for layer in net.layers if "/" not in layer.name]
    outputs = net.outputs(x, names)
    scores = net.scores(x)
    assert_same(before, state_of(module))

    seen = seen_by_hooks(module.eval(), x)
    missing = [
        path for path, value in seen.items() if path not in outputs and value.ndim in (2, 4) and path in net._by_name
    ]
    assert not missing
    compared = 0
    for path, value in outputs.items():
        expected = seen[path]
        if expected.ndim == 4 and expected.shape != value.shape:
            expected = expected.permute(0, 3, 1, 2)
        assert torch.equal(value, expected), path
        compared += 1
    assert compared >= min(20, len(names))
    with torch.no_grad():
        assert torch.equal(scores, module(x))


def test_conv_values_are_read_before_an_in_place_relu() -> None:
    net = convscope.Net(torchvision.models.alexnet(), size=(96, 96))
    values = net.outputs(torch.rand(1, 3, 96, 96), ["features.0", "features.1"])
    assert float(values["features.0"].min()) < 0
    assert torch.equal(values["features.0"].relu(), values["features.1"])


def test_convnext_comes_as_channels_first() -> None:
    net = convscope.Net(torchvision.models.convnext_tiny(), size=(64, 64))
    gelus = [layer for layer in net.layers if layer.kind == "gelu"]
    assert len(gelus) == 18
    assert gelus[0].shape == (384, 16, 16)
    assert net.outputs(torch.rand(2, 3, 64, 64), [gelus[0].name])[gelus[0].name].shape == (2, 384, 16, 16)


def test_every_spelling_of_relu_is_a_rectified_layer() -> None:
    net = convscope.Net(Spellings(), size=(12, 12))
    assert [layer.name for layer in net.layers if layer.rectified] == ["act", "/relu#1", "act#2", "/relu#2"]


def test_names_of_resnet() -> None:
    net = convscope.Net(torchvision.models.resnet18(), size=(64, 64))
    names = {layer.name for layer in net.layers}
    assert {"layer4", "layer1.0.relu", "layer1.0.relu#2", "layer1.0/add#1", "maxpool", "fc"} <= names
    assert net.layer("layer1.0.relu#2").alias_of == "layer1.0"
    assert net.suggested_layers == ("relu", "layer1", "layer2", "layer3", "layer4")
    assert len(names) == len(net.layers)


def test_only_what_is_needed_is_computed() -> None:
    net = convscope.Net(torchvision.models.resnet18(), size=(64, 64))
    program, weights = net._program((net.layer("layer1").node,))
    kinds = Counter(str(node.target) for node in program.graph.nodes if node.op == "call_function")
    assert kinds["aten.conv2d.default"] == 5
    assert not any(name.startswith("layer2") for name in weights)


def test_the_network_is_untouched_after_errors() -> None:
    module = small_classifier()
    module.train()
    before = state_of(module)
    net = convscope.Net(module, size=(16, 16))
    for wrong in (lambda: net.outputs(torch.rand(1, 3, 16, 16), ["no"]), lambda: net.scores(torch.rand(1, 3, 9, 9)),
                  lambda: net.outputs(torch.rand(1, 3, 16, 16), "0")):  # fmt: skip
        with pytest.raises(convscope.ConvscopeError):
            wrong()
    assert_same(before, state_of(module))


class Choosing(nn.Module):
    """A forward that looks at values, which no graph can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((2, 3))
        if x.sum() > 0:
            return self.inner(x)
        return self.inner(-x)


class Raising(nn.Module):
    """A forward that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("the user's own problem")


class Pair(nn.Module):
    """A forward with two results."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean((2, 3)), x.amax((2, 3))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Choosing, ("Choosing cannot be exported", "test_outputs.py", "in forward")),
        (Raising, ("Raising cannot be exported", "the user's own problem", "test_outputs.py")),
        (Pair, ("Pair does not return one tensor of scores",)),
        (lambda: nn.Conv2d(3, 4, 3), ("returns 4 axes where N×K scores are needed",)),
    ],
)
def test_what_cannot_be_exported_is_refused_with_place_and_hint(
    make: Callable[[], nn.Module], words: tuple[str, ...]
) -> None:
    module = make().train()
    before = state_of(module)
    with pytest.raises(convscope.UnsuitableNet) as caught:
        convscope.Net(module, size=(8, 8))
    for word in words:
        assert word in caught.value.problem
    assert "class Wrapped(nn.Module)" in caught.value.hint
    assert_same(before, state_of(module))


def test_a_snapshot_does_not_follow_training_until_refreshed() -> None:
    module = small_classifier()
    net = convscope.Net(module, size=(16, 16))
    x = torch.rand(2, 3, 16, 16)
    first, mark = net.scores(x), net.fingerprint
    with torch.no_grad():
        module[-1].bias.add_(1)
    assert torch.equal(net.scores(x), first)
    net.refresh()
    torch.testing.assert_close(net.scores(x), first + 1)
    assert net.fingerprint != mark


def test_a_sibling_has_other_weights_and_leaves_the_first_alone() -> None:
    module = small_classifier()
    net = convscope.Net(module, size=(16, 16))
    x = torch.rand(2, 3, 16, 16)
    first = net.scores(x)
    other = small_classifier()
    with torch.no_grad():
        other[0].weight.mul_(-1)
    sibling = net.with_weights(other.state_dict())
    assert torch.equal(net.scores(x), first)
    with torch.no_grad():
        assert torch.equal(sibling.scores(x), other.eval()(x))
    state = dict(other.state_dict())
    state["9.bias "] = state.pop("9.bias")
    with pytest.raises(convscope.BadWeights, match=r"1 missing: 9\.bias; 1 left over: 9\.bias "):
        net.with_weights(state)


def test_gradients_reach_the_pixels_and_nothing_else() -> None:
    module = small_classifier()
    net = convscope.Net(module, size=(16, 16), mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    net.scores(x)[0, 0].backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0
    assert all(p.grad is None for p in module.parameters())


class Keeping(nn.Module):
    """A forward that keeps its maps on the module, as people do to look at them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.last: Tensor | None = torch.ones(2)

    def forward(self, x: Tensor) -> Tensor:
        self.last = torch.relu(self.conv(x))
        return self.last.mean((2, 3))


def test_what_a_forward_keeps_and_what_hooks_collect_is_untouched() -> None:
    module, seen = Keeping().train(), []
    module.conv.register_forward_hook(lambda part, given, value: seen.append(value))
    kept, before = module.last, state_of(module)
    net = convscope.Net(module, size=(8, 8))
    net.scores(torch.rand(1, 3, 8, 8))
    assert module.last is kept
    assert seen == []
    assert_same(before, state_of(module))
    module(torch.rand(1, 3, 8, 8))
    assert len(seen) == 1


@pytest.mark.parametrize(
    "make",
    [torchvision.models.alexnet, lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 94 * 94, 2))],
)
def test_pixels_of_any_memory_layout_give_the_same(make: Callable[[], nn.Module]) -> None:
    net = convscope.Net(make(), size=(96, 96))
    x = torch.rand(2, 3, 96, 96)
    expected = net.scores(x)
    for other in (x.contiguous(memory_format=torch.channels_last), x.transpose(2, 3).contiguous().transpose(2, 3)):
        torch.testing.assert_close(net.scores(other), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(map(heavy, ["edgenext_xx_small", "levit_128s", "mobilevit_xxs"])))
def test_every_layer_has_one_row_per_image(name: str) -> None:
    module = timm.create_model(name)
    side = 224 if name == "levit_128s" else 64
    net = convscope.Net(module, size=(side, side))
    names = [layer.name for layer in net.layers]
    for name, value in net.outputs(torch.rand(3, 3, side, side), names).items():
        assert tuple(value.shape) == (3, *net.layer(name).shape), name


class Frozen(nn.Module):
    """A backbone that runs without gradients, as in fine-tuning."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.features(x)
        return self.head(x.mean((2, 3)))


def test_a_frozen_backbone_keeps_its_names_and_shows_its_gradient() -> None:
    net = convscope.Net(Frozen(), size=(8, 8))
    assert {"features", "features.0", "features.1", "head"} <= {layer.name for layer in net.layers}
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    net.scores(x)[0, 0].backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0


class Slope(nn.Module):
    """y + alpha·|y|, where alpha is known to the graph alone."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((2, 3))
        return torch.relu(torch.add(x, x.abs(), alpha=self.alpha))


def test_networks_that_differ_in_an_option_alone_have_other_fingerprints() -> None:
    one, other = convscope.Net(Slope(3), size=(8, 8)), convscope.Net(Slope(-1), size=(8, 8))
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == convscope.Net(Slope(3), size=(8, 8)).fingerprint


class Spelt(nn.Module):
    """Rarer spellings of ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.maximum(x - 0.5, torch.zeros_like(x)) + 0.1
        x = torch.where(x > 0, x, torch.zeros_like(x)) + 0.1
        x = torch.clip(x, min=0) + 0.1
        x = x * (x > 0)
        return x.mean((2, 3))


def test_rarer_spellings_are_rectified_and_keep_the_receptive_field() -> None:
    net = convscope.Net(Spelt(), size=(8, 8))
    rectified = [layer for layer in net.layers if layer.rectified]
    assert len(rectified) == 4
    assert all(layer.receptive.size == (1, 1) for layer in rectified)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_other_precision_keep_it(dtype: torch.dtype) -> None:
    module = small_classifier().to(dtype)
    net = convscope.Net(module, size=(16, 16))
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(net.scores(x), module.eval()(x.to(dtype)))


def test_batches_of_any_size_give_the_same() -> None:
    net = convscope.Net(Branches(), size=(16, 16))
    x = torch.rand(5, 3, 16, 16)
    together = net.scores(x)
    torch.testing.assert_close(torch.cat([net.scores(x[i : i + 1]) for i in range(5)]), together, rtol=1e-5, atol=1e-6)


def test_weights_that_are_not_finite_are_named() -> None:
    module = small_classifier()
    with torch.no_grad():
        module[4].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(convscope.BadWeights, match=r"1 weights of mine hold NaN or infinity: 4\.weight"):
        convscope.Net(module, size=(16, 16))
