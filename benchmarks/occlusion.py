"""Occlusion against its rivals, in turns in one run: the fastest dense loop over the same folded network, and Captum.

Ours runs whole maps. The rivals take a forward of the whole network for each position, so their time for some positions
says that of all; for three networks they run whole maps too.
"""

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import Occlusion
from torch import Tensor, nn
from torchvision.models import get_model

import convscope
from benchmarks.building import photos
from convscope.models.address import OUTPUT
from convscope.models.incremental.engine import Found, Incremental
from convscope.models.incremental.memory import resident, trimming
from convscope.models.occluders import Positions, make_occluder, positions
from convscope.models.stream import Stream

NETS = (
    "vgg16",
    "alexnet",
    "resnet18",
    "resnet50",
    "densenet121",
    "mobilenet_v2",
    "efficientnet-lite0",
    "convnext_tiny",
)
WHOLE = ("alexnet", "resnet18", "efficientnet-lite0")  # rivals run whole maps at window 16
SAMPLE = 64  # positions of the rivals
ROUNDS = 4
BATCHES = (1, 4, 8, 16, 32)
MIDDLE = 8
STRIDE = 8
BARS = {"alexnet": 0.65}  # share of the ideal ratio; the others 0.85
SLOWEST = {"convnext_tiny": 0.95}  # of the dense loop's speed, in place of a share
Forward = Callable[[Tensor], Tensor]


@dataclass
class Measured:
    """Seconds for a whole map, and how far the answers differ."""

    ours: float
    dense: float
    captum: float
    ideal: float
    memory: float  # MB beyond what was taken before, at most
    score: float  # greatest difference of a score, ours − dense
    probability: float
    spread: float  # standard deviation of a score over the positions, at most
    setting: str  # of the dense loop


def dense_loop(net: convscope.Net) -> Forward:
    """A forward of the same folded operators on whole images, values freed as in ours."""
    stream = Stream(net, [OUTPUT])

    def forward(pixels: Tensor) -> Tensor:
        found: list[Tensor] = []
        stream.run(pixels, lambda _, scores: found.append(scores))
        return found[0]

    return forward


def occluded(pixels: Tensor, grid: Positions, pairs: np.ndarray) -> Tensor:
    """The images of some positions, filled with black."""
    images = pixels.repeat(len(pairs), 1, 1, 1)
    for image, (row, column) in zip(images, pairs, strict=True):
        image[:, grid.tops[row] : grid.bottoms[row], grid.lefts[column] : grid.rights[column]] = 0
    return images


def real_net(name: str) -> convscope.Net:
    """The bundled network with its weights, or torchvision's with random ones that let signals through."""
    if "-" in name:
        return convscope.load(name)
    torch.manual_seed(0)
    module = get_model(name, weights=None).train()
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.5
        if isinstance(getattr(part, "layer_scale", None), nn.Parameter):
            nn.init.uniform_(part.layer_scale, 0.5, 1)
    with torch.no_grad():
        for _ in range(3):
            module((photos(8, (224, 224)) - 0.45) / 0.225)
    return convscope.Net(module.eval(), (0.45,) * 3, (0.225,) * 3, name=name)


def best_setting(forward: Forward, images: Tensor) -> tuple[int, bool]:
    """The layout that is fastest for a middle batch, and the batch that is fastest in it."""

    def each(batch: int, last: bool) -> float:
        part = laid_out(images[:batch], last)
        return min(seconds(lambda: forward(part)) for _ in range(2 if batch <= MIDDLE else 1)) / batch

    forward(images[:1])
    layouts = {last: each(MIDDLE, last) for last in (True, False)}
    last = min(layouts, key=lambda one: layouts[one])
    batches = {batch: each(batch, last) for batch in BATCHES}
    return min(batches, key=lambda one: batches[one]), last


def laid_out(images: Tensor, last: bool) -> Tensor:
    """Channels last or not."""
    return images.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def seconds(function: Callable[[], object]) -> float:
    """Of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Peak:
    """The memory of this process at most, while a `with` is open."""

    def __enter__(self) -> "Peak":
        self.before = self.most = resident()
        self.open = True
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()
        return self

    def look(self) -> None:
        """Looks every few milliseconds."""
        while self.open:
            self.most = max(self.most, resident())
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        self.open = False
        self.thread.join()


def measure(name: str, window: int) -> Measured:
    """One network and one window."""
    net = real_net(name)
    pixels = photos(1, net.size)
    grid = positions(net.size, (window, window), (STRIDE, STRIDE), "inside")
    pairs = np.argwhere(np.ones(grid.shape, bool))
    sample = pairs[np.random.default_rng(0).permutation(len(pairs))[:SAMPLE]]
    chosen = pairs if name in WHOLE and window == 16 else sample
    forward = dense_loop(net)
    few = occluded(pixels, grid, sample)
    batch, last = best_setting(forward, few)
    times: dict[str, list[float]] = {"ours": [], "dense": [], "captum": []}
    scores: list[Tensor] = []
    kept = torch.zeros(*grid.shape, net.classes)
    trim = trimming()
    if trim is not None:
        trim(0)  # nothing is to be taken from what the dense loop has freed
    with Peak() as peak:
        begin = time.perf_counter()
        engine = Incremental(net, pixels)
        running = ours(engine, grid)
        times["ours"].append(time.perf_counter() - begin)
    before, memory = peak.before, peak.most - peak.before
    done = 0
    for turn in range(ROUNDS):
        with Peak() as peak:
            begin = time.perf_counter()
            while done < len(pairs) * (turn + 1) // ROUNDS:
                found = next(running)
                kept[found.rows, found.columns] = found.scores
                done += len(found.rows)
            times["ours"].append(time.perf_counter() - begin)
        memory = max(memory, peak.most - before)
        own = chosen[len(chosen) * turn // ROUNDS : len(chosen) * (turn + 1) // ROUNDS]
        images = occluded(pixels, grid, own)
        begin = time.perf_counter()
        scores += [forward(laid_out(images[at : at + batch], last)) for at in range(0, len(own), batch)]
        times["dense"].append(time.perf_counter() - begin)
        if turn == ROUNDS // 2:
            whole = len(chosen) == len(pairs)
            times["captum"].append(captum(forward, net.size, pixels, window, batch, last, whole))
    expected = torch.cat(scores)
    same = kept[chosen[:, 0], chosen[:, 1]]
    share = len(pairs) / len(chosen)
    return Measured(
        sum(times["ours"]),
        sum(times["dense"]) * share,
        sum(times["captum"]) * (1 if len(chosen) == len(pairs) else len(pairs) / captum_positions(net.size, window)),
        engine.geometry(grid).ideal,
        memory / 1e6,
        float((same - expected).abs().max()),
        float((same.softmax(1) - expected.softmax(1)).abs().max()),
        float(kept.flatten(0, 1).std(0).max()),
        f"batches of {batch}, channels {'last' if last else 'first'}",
    )


def ours(engine: Incremental, grid: Positions) -> Iterator[Found]:
    """A whole map, planning counted in."""
    yield from engine.run(grid, make_occluder(engine.net, engine.pixels, "zero", (1, 1), 0))


def captum(
    forward: Forward, size: tuple[int, int], pixels: Tensor, window: int, batch: int, last: bool, whole: bool
) -> float:
    """Seconds that Captum takes for a whole map, or for about as many positions as are sampled, its batches at best."""
    stride = STRIDE if whole else sampling(size, window)

    def score(images: Tensor) -> Tensor:
        return forward(laid_out(images, last))[:, 0]

    rival = Occlusion(score)
    side = (3, window, window)
    return seconds(
        lambda: rival.attribute(
            pixels, sliding_window_shapes=side, strides=(3, stride, stride), baselines=0.0, perturbations_per_eval=batch
        )
    )


def sampling(size: tuple[int, int], window: int) -> int:
    """A stride for about as many positions as are sampled; Captum takes none beyond the window."""
    return min(size[0] // round(SAMPLE**0.5), window)


def captum_positions(size: tuple[int, int], window: int) -> int:
    """How many positions it then runs: its last window is cut off at the edge."""
    step = sampling(size, window)
    return int(np.prod([-(-(length - window) // step) + 1 for length in size])) + 1


def hiding(names: tuple[str, ...] = NETS, windows: tuple[int, ...] = (16, 32)) -> None:
    """Prints the table."""
    print("occlusion, whole maps at 224 px, stride 8, black; seconds; dense loop and Captum on the same folded network")
    heads = ("network", "window", "ours", "dense", "Captum", "ratio", "ideal", "share", "bar", "to Captum", "MB")
    heads += ("Δ score", "Δ p", "spread")
    print(" | ".join(heads), flush=True)
    for name in names:
        for window in windows:
            one = measure(name, window)
            ratio = one.dense / one.ours
            share = ratio / one.ideal
            bar = f"{SLOWEST[name]} × dense" if name in SLOWEST else str(BARS.get(name, 0.85))
            cells = (
                f"{name}", f"{window}", f"{one.ours:.1f}", f"{one.dense:.1f}", f"{one.captum:.1f}", f"{ratio:.2f}",
                f"{one.ideal:.2f}", f"{share:.2f}", bar, f"{one.captum / one.ours:.2f}", f"{one.memory:.0f}",
                f"{one.score:.1e}", f"{one.probability:.1e}", f"{one.spread:.1e}", one.setting,
            )  # fmt: skip
            print(" | ".join(cells), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nets", nargs="+", default=list(NETS))
    parser.add_argument("--windows", nargs="+", type=int, default=[16, 32])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    hiding(tuple(options.nets), tuple(options.windows))
