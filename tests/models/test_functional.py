"""The exporter's graph rewritten is the graph that torch's own second trace gives; what is not simple is left to that."""

from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram, export

import convscope
from convscope.models.functional import rewrite
from convscope.models.graph import borrowed
from tests.nets import Branches, Planted, Spellings, small_classifier


def exported(module: nn.Module, side: int) -> tuple[ExportedProgram, fx.Node]:
    with torch.no_grad(), borrowed(module):
        sizes = ({0: Dim("batch", min=1)},)
        program = export(module, (torch.zeros(2, 3, side, side),), dynamic_shapes=sizes, strict=False)
    return program, next(node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)


def described(graph: fx.Graph) -> list[tuple]:
    """Every node: its operator, what it reads, the modules that it was computed in, and its shape."""
    places = {node: place for place, node in enumerate(graph.nodes)}

    def words(value: object) -> object:
        if isinstance(value, fx.Node):
            return ("node", places[value])
        return [words(one) for one in value] if isinstance(value, list | tuple) else value

    found = []
    for node in graph.nodes:
        stack = node.meta.get("nn_module_stack") or {}
        modules = [(key, path) for key, (path, _) in stack.items() if not key.startswith("_empty")]
        shape = [str(size) for size in getattr(node.meta.get("val"), "shape", ())]
        found.append((node.op, str(node.target), words(node.args), dict(node.kwargs), modules, shape))
    return found


class Chain(nn.Module):
    """In place again and again, with readers before and after, dropout between, and a flattening that does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(inplace=True)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        before = torch.sigmoid(x)
        y = self.norm(x)
        y += before
        z = F.relu_(self.drop(F.hardtanh_(y, -2.0, 2.0)))
        z.add_(1).mul_(2)
        return self.head((y + z).mean((2, 3)).flatten(1))


SIMPLE: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "chain": (Chain, 8),
    "planted": (Planted, 8),
    "branches": (Branches, 12),
    "small classifier": (small_classifier, 16),
    "resnet18": (torchvision.models.resnet18, 64),
    "alexnet": (torchvision.models.alexnet, 64),
}
DEEP: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, 64),
    "densenet121": (torchvision.models.densenet121, 64),
    "inception_v3": (lambda: torchvision.models.inception_v3(init_weights=False, aux_logits=False), 299),
    "googlenet": (lambda: torchvision.models.googlenet(init_weights=False, aux_logits=False), 96),
    "regnet_y_400mf": (torchvision.models.regnet_y_400mf, 64),
    "convnext_tiny": (torchvision.models.convnext_tiny, 64),
    "vgg11_bn": (torchvision.models.vgg11_bn, 64),
    "tf_efficientnet_lite0": (lambda: timm.create_model("tf_efficientnet_lite0"), 64),
    "hrnet": (lambda: timm.create_model("hrnet_w18_small"), 64),
}


@pytest.mark.parametrize("name", [*SIMPLE, *(pytest.param(name, marks=pytest.mark.heavy) for name in DEEP)])
def test_rewriting_gives_the_graph_that_tracing_again_gives(name: str) -> None:
    make, side = (SIMPLE | DEEP)[name]
    program, pixels = exported(make(), side)
    again = program.run_decompositions({})
    assert rewrite(program.graph, pixels)
    program.graph.lint()
    assert described(program.graph) == described(again.graph)


class OfAView(nn.Module):
    """A rectifier in place on a part of a map changes the map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x[:, :2].relu_()
        return x.mean((2, 3))


class BehindAView(OfAView):
    """A view taken before a map is changed in place shows the change."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        aside = x.permute(0, 2, 3, 1)
        F.relu_(x)
        return aside.mean((1, 2))


class BehindFlattening(OfAView):
    """The same, of an operator that shares memory only sometimes."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        aside = x.flatten(2)
        F.relu_(x)
        return aside.mean(2)


class OfAChunk(OfAView):
    """In place on one of several results that are parts of one memory."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        one, _ = x.split(2, 1)
        one.relu_()
        return x.mean((2, 3))


class OfThePixels(OfAView):
    """In place on a view of what is no map of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.relu_(x.clone().transpose(2, 3))).mean((2, 3))


class OfTheBatch(OfAView):
    """BatchNorm without statistics."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(self.conv(x), None, None, training=True).relu_().mean((2, 3))


class Promoted(OfAView):
    """A sum in place keeps the type of its first part."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x += torch.full((4, 1, 1), 0.1, dtype=torch.float64)
        return x.mean((2, 3))


class FlatWeight(OfAView):
    """Flattening of what has another first axis than the images: a weight, as in spectral norm."""

    def forward(self, x: Tensor) -> Tensor:
        size = self.conv.weight.flatten(1).square().sum().sqrt()
        return F.relu(F.conv2d(x, self.conv.weight / size)).mean((2, 3))


class Mirrored(OfAView):
    """Flattening of twice as many images as there are: each and its mirror image."""

    def forward(self, x: Tensor) -> Tensor:
        both = F.relu(self.conv(torch.cat([x, x.flip(3)]))).flatten(1)
        return both.view(2, x.shape[0], -1).mean(0)


NOT_SIMPLE = [OfAView, BehindAView, BehindFlattening, OfAChunk, OfThePixels, OfTheBatch, Promoted, FlatWeight, Mirrored]


@pytest.mark.parametrize("module", NOT_SIMPLE)
def test_what_is_not_simple_is_left_as_it_is_and_right_all_the_same(module: type[nn.Module]) -> None:
    torch.manual_seed(0)
    made = module().eval()
    program, pixels = exported(made, 8)
    before = described(program.graph)
    assert not rewrite(program.graph, pixels)
    assert described(program.graph) == before
    net, images = convscope.Net(made, size=(8, 8)), torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(net.scores(images), made(images))


@pytest.mark.parametrize("module", [Chain, Spellings])
def test_simple_networks_give_their_scores(module: type[nn.Module]) -> None:
    torch.manual_seed(0)
    made, images = module().eval(), torch.rand(3, 3, 12, 12)
    net = convscope.Net(made, size=(12, 12))
    with torch.no_grad():
        assert torch.equal(net.scores(images), made(images))
