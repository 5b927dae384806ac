"""Saliency, deconvnet and guided backprop against Captum and one plain forward and backward; patches by crops.

All take turns in one process, and a ratio is the median of each round's own. Rivals run the module itself, weights
frozen, in the memory layout that is faster for it. Crops are compared with whole images that the same code sends back
from the same layer, one patch at a time and four at once.
"""

import argparse
import copy
import statistics
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from captum.attr import Deconvolution, GuidedBackprop, Saliency
from torch import Tensor, nn

import convscope
from benchmarks.building import photos
from benchmarks.occlusion import laid_out, real_net
from benchmarks.timing import turns
from convscope.arrays import Place
from convscope.models.backward import RULES, Backward, Rule
from convscope.models.cropping import Crops
from convscope.models.layers import Layer

Functions = dict[str, Callable[[], Tensor]]
NETS = ("vgg16", "resnet50", "efficientnet-lite0")
IMAGES = 4  # at once, one class each
BAR = 1.05  # of Captum's time
SILENT = {"efficientnet-lite0": "its 33 ReLU6 are no nn.ReLU: Captum gives the plain gradient"}
PAGES = {  # layer, and least speed against whole images one at a time
    "vgg16": ("features.15", 5),
    "alexnet": ("features.11", 1),
    "resnet18": ("layer3", 1),
    "efficientnet-lite0": ("blocks.3.0.bn1", 1),
}
PATCHES = 36  # a round: four rounds are 16 units × 9
ROUNDS = 4
WHOLE = (1, 4)  # whole images at once


def median_ratio(times: dict[str, list[float]], over: str, under: str) -> float:
    """Of the rounds' own ratios."""
    return statistics.median(one / other for one, other in zip(times[over], times[under], strict=True))


def plain(module: nn.Module, given: Tensor, classes: list[int]) -> Tensor:
    """One forward and one backward."""
    leaf = given.detach().requires_grad_()
    scores = module(leaf)[range(len(classes)), classes].sum()
    return torch.autograd.grad(scores, leaf)[0]


def captum(module: nn.Module, given: Tensor, classes: list[int], rule: Rule) -> Tensor:
    """Captum's own class."""
    kinds: dict[Rule, Any] = {"gradient": Saliency, "deconvnet": Deconvolution, "guided": GuidedBackprop}
    options = {"abs": False} if rule == "gradient" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of its hooks in every call
        return torch.as_tensor(kinds[rule](module).attribute(given, classes, **options))


def from_classes(backward: Backward, pixels: Tensor, classes: list[int]) -> Tensor:
    """Ours: all images at once, each from its class."""

    def start(value: Tensor) -> list[Tensor]:
        sent = torch.zeros_like(value)
        sent[range(len(classes)), classes] = 1
        return [sent]

    return next(backward.signals(pixels, start))


def better_layout(net: convscope.Net, given: Tensor, classes: list[int]) -> tuple[nn.Module, Tensor, str]:
    """Module and images in the memory layout in which a forward and backward of the module is faster."""
    assert net._module is not None
    first = copy.deepcopy(net._module).eval().requires_grad_(False)
    last = copy.deepcopy(first).to(memory_format=torch.channels_last)
    ways = {"first": (first, laid_out(given, False)), "last": (last, laid_out(given, True))}
    times = turns({key: partial(plain, *way, classes) for key, way in ways.items()}, 2)
    best = min(times, key=lambda key: min(times[key]))
    return *ways[best], best


def sending(names: tuple[str, ...] = NETS, rounds: int = ROUNDS) -> None:
    """Prints the table of the three rules."""
    print(
        f"signals of {IMAGES} images at 224 px, each from one class; seconds; ratios are medians over {rounds} rounds"
    )
    heads = ("network", "rule", "ours", "Captum", "forward + backward", "÷ Captum", "÷ the latter", "bar", "channels")
    print(" | ".join(heads), flush=True)
    for name in names:
        net = real_net(name)
        pixels = photos(IMAGES, net.size)
        with torch.no_grad():
            classes: list[int] = net.scores(pixels).argmax(1).tolist()
        module, given, layout = better_layout(net, net.preprocess.normalise(pixels), classes)
        for rule in RULES.values():
            times = one_rule(Backward(net, net.output_layer, rule), pixels, module, given, classes, rounds)
            cells = (
                name, rule, *[f"{statistics.median(found):.2f}" for found in times.values()],
                f"{median_ratio(times, 'ours', 'captum'):.2f}", f"{median_ratio(times, 'ours', 'plain'):.2f}",
                f"≤ {BAR}", layout, "" if rule == "gradient" else SILENT.get(name, ""),
            )  # fmt: skip
            print(" | ".join(cells), flush=True)


def one_rule(
    backward: Backward, pixels: Tensor, module: nn.Module, given: Tensor, classes: list[int], rounds: int
) -> dict[str, list[float]]:
    """The times of ours and of the rivals."""
    functions: Functions = {
        "ours": lambda: from_classes(backward, pixels, classes),
        "captum": lambda: captum(module, given, classes, backward.rule),
        "plain": lambda: plain(module, given, classes),
    }
    return turns(functions, rounds)


def page_of(layer: Layer, count: int) -> tuple[list[Place], list[int]]:
    """Seeded places and units."""
    random = np.random.default_rng(0)
    places = [Place(*map(int, random.integers(0, layer.shape[1:]))) for _ in range(count)]
    return places, random.integers(0, layer.shape[0], count).tolist()


def on_whole(backward: Backward, pixels: Tensor, places: list[Place], units: list[int], size: int) -> Tensor:
    """A patch of each image, sent back on whole images, some at once."""
    found = []
    for at in range(0, len(pixels), size):
        some = slice(at, at + size)

        def start(value: Tensor, some: slice = some) -> list[Tensor]:
            rows, columns = zip(*places[some], strict=True)
            cells = (torch.arange(len(value)), units[some], rows, columns)
            sent = torch.zeros_like(value)
            sent[cells] = value[cells]
            return [sent]

        found.append(next(backward.signals(pixels[some], start)))
    return torch.cat(found)


def paging(names: tuple[str, ...] = tuple(PAGES), rounds: int = ROUNDS, layers: tuple[str, ...] = ()) -> None:
    """Prints the table of crops against whole images."""
    print(f"deconvnet signals of {PATCHES} patches on different images at 224 px; ms a patch; {rounds} rounds")
    heads = ("network", "layer", "crops", *[f"whole, {size} at once" for size in WHOLE])
    print(" | ".join((*heads, *[f"÷ {size} at once" for size in WHOLE], "bar", "share", "pays", "Δ")), flush=True)
    for name in names:
        net = real_net(name)
        pixels = photos(PATCHES, net.size)
        for layer_name in layers or (PAGES[name][0],):
            layer = next(one for one in net.layers if one.name == layer_name)
            print(" | ".join((name, layer_name, *one_page(net, layer, pixels, PAGES[name][1], rounds))), flush=True)


def one_page(net: convscope.Net, layer: Layer, pixels: Tensor, bar: int, rounds: int) -> list[str]:
    """The row of a layer."""
    backward = Backward(net, layer, "deconvnet")
    crops = Crops(backward)
    if not crops.possible:
        return ["crops are not possible"]
    places, units = page_of(layer, len(pixels))
    functions: Functions = {"crops": lambda: crops.signals(pixels, places, units, True)[1]}
    for size in WHOLE:
        functions[str(size)] = partial(on_whole, backward, pixels, places, units, size)
    times = turns(functions, rounds)
    found, expected = functions["crops"](), functions["1"]()
    return [
        *[f"{statistics.median(known) / len(pixels) * 1000:.1f}" for known in times.values()],
        *[f"{median_ratio(times, str(size), 'crops'):.2f}" for size in WHOLE],
        f"≥ {bar}",
        f"{crops.share():.3f}",
        "yes" if crops.pays() else "no",
        f"{float((found - expected).norm() / expected.norm()):.0e}",
    ]


def signalling() -> None:
    """Both tables."""
    sending()
    paging()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nets", nargs="*", default=list(NETS))
    parser.add_argument("--pages", nargs="*", default=list(PAGES))
    parser.add_argument("--layers", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.nets:
        sending(tuple(options.nets), options.rounds)
    if options.pages:
        paging(tuple(options.pages), options.rounds, tuple(options.layers))
