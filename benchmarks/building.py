"""What learning from every layer costs: a build's forward with all folds against the bare network, and its memory.

Both read the same decoded batches, in turns, in one run. The bare loop is eager PyTorch in inference mode with
channels_last and the batch that is best for it; the build's batch is the one that it chooses itself.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import convscope
from convscope.data.decode import decode
from convscope.faces.demo import demo_photos, regions
from convscope.passes.build import best_batch, choose_folds, follow
from convscope.passes.directions import DIRECTIONS
from convscope.passes.fold import Batch
from convscope.passes.learning import Learner
from convscope.passes.merging import Merger
from convscope.passes.reading import IMAGES as IMAGES_SCHEMA
from convscope.passes.reading import SKIPPED
from convscope.store.workspace import VERSION, Partial, Workspace

IMAGES = 16_000  # of the data set that the measured images belong to: it says how many of them a sample takes
BARS = {"torchvision:alexnet": 0.85, "torchvision:resnet50": 0.85, "efficientnet-lite0": 0.75}
SHARD_SIZE = 64  # images, as in a listing
WARM = 4  # rounds before the measured ones: the first images change every unit's best ones, and of many few are first
BATCHES = (1, 2, 4, 8, 16, 32)


def photos(count: int, size: tuple[int, int]) -> Tensor:
    """N×3×H×W in [0, 1]: regions of real photos, and their mirror images."""
    found: list[Tensor] = []
    for photo in demo_photos():
        for _, region in regions(decode(photo)):
            picture = Image.fromarray(region).resize(size[::-1], Image.Resampling.BICUBIC)
            found.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    order = np.random.default_rng(0).permutation(len(found)).tolist()
    pictures = [found[at] for at in order]
    pictures += [picture.flip(2) for picture in pictures]
    return (torch.stack(pictures[:count]).float() / 255).contiguous(memory_format=torch.channels_last)


def network(name: str) -> tuple[convscope.Net, nn.Module]:
    """A net and its module; random weights get statistics of real photos, so that activations are of a sane size."""
    if ":" not in name:
        net = convscope.load(name)
        return net, net._module.eval().to(memory_format=torch.channels_last)
    torch.manual_seed(0)
    from torchvision.models import get_model

    module = get_model(name.split(":")[1], weights=None).train()
    pixels = photos(32, (224, 224))
    with torch.no_grad():
        for _ in range(5):
            module((pixels - 0.45) / 0.225)
    module = module.eval().to(memory_format=torch.channels_last)
    return convscope.Net(module, (0.45,) * 3, (0.225,) * 3, name=name), module


def ratio(name: str, count: int, rounds: int) -> None:
    """Prints images per second of both, their ratio (the median over the rounds), and where the time goes."""
    net, module = network(name)
    pixels = photos(count, net.size)

    @torch.inference_mode()
    def bare(normal: Tensor, batch: int) -> float:
        start = time.perf_counter()
        for at in range(0, len(normal), batch):
            module(normal[at : at + batch])
        return time.perf_counter() - start

    few = net.preprocess.normalise(pixels[:32]).contiguous(memory_format=torch.channels_last)
    bare(few, 8)
    trials = {batch: min(bare(few, batch) for _ in range(2)) for batch in BATCHES}
    best = min(trials, key=lambda batch: trials[batch])
    with tempfile.TemporaryDirectory() as folder:
        build = Shards(net, Path(folder) / "atlas")
        times = []
        for turn in range(WARM + rounds):
            fresh = moved(pixels, turn)
            normal = net.preprocess.normalise(fresh).contiguous(memory_format=torch.channels_last)
            times.append((bare(normal, best), build.learn(fresh)))
        times = times[WARM:]
        found = statistics.median(one / other for one, other in times)
        fast, ours = (count / statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{name}: {ours:.1f} images/s with all folds on {len(build.layers)} layers (batch {build.size}), bare "
            f"network {fast:.1f} (batch {best}): ratio {found:.2f} (bar {BARS[name]})\n"
            f"  of that time: {build.shares()}",
            flush=True,
        )


def moved(pixels: Tensor, turn: int) -> Tensor:
    """The photos, shifted round their edges: no image is seen twice, as in a large data set."""
    rows, columns = np.random.default_rng(turn).integers(1, 200, 2).tolist()
    return pixels.roll((rows, columns), (2, 3)).contiguous(memory_format=torch.channels_last)


class Shards:
    """A build on images that are decoded already: shards of 64, committed to the disk and merged."""

    def __init__(self, net: convscope.Net, out: Path) -> None:
        self.layers, self.size = follow(net, None), best_batch(net)
        folds = choose_folds(net, self.layers, IMAGES, 9, DIRECTIONS, (), 0)
        self.seconds: dict[str, float] = {}
        for fold in folds:
            fold.see = self.timed(fold.name, fold.see)  # type: ignore[method-assign]
            fold.add = self.timed(fold.name, fold.add)  # type: ignore[method-assign]
        self.learner = Learner(net, folds, self.layers)
        self.workspace = Workspace(out, {VERSION: "a benchmark"})
        self.merger = Merger(self.workspace, folds)
        self.ranks = np.random.default_rng(0).permutation(IMAGES)
        self.rows = 0

    def timed(self, name: str, function: Callable[..., None]) -> Callable[..., None]:
        """The same function, its time added up."""

        def call(*arguments: Any) -> None:
            start = time.perf_counter()
            function(*arguments)
            self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - start

        return call

    def learn(self, pixels: Tensor) -> float:
        """The seconds that it takes to learn from some images."""
        self.seconds.clear()
        start = time.perf_counter()
        for first in range(0, len(pixels), SHARD_SIZE):
            states = self.learner.begin(self.merger.states)
            shard = pixels[first : first + SHARD_SIZE]
            for at in range(0, len(shard), self.size):
                self.learner.learn(states, self.batch(shard[at : at + self.size]))
            kept = time.perf_counter()
            index = self.merger.count
            self.workspace.commit(index, Partial(IMAGES_SCHEMA.empty_table(), SKIPPED.empty_table(), b"", states))
            self.merger.advance({index: states})
            self.seconds["commit and merge"] = self.seconds.get("commit and merge", 0) + time.perf_counter() - kept
        self.total = time.perf_counter() - start
        return self.total

    def batch(self, pixels: Tensor) -> Batch:
        """Some images, each of its own content and without a label."""
        row = np.arange(self.rows, self.rows + len(pixels))
        self.rows += len(pixels)
        return Batch(row, row.astype(np.uint64), np.full(len(row), -1), self.ranks[row % IMAGES], pixels)

    def shares(self) -> str:
        """Where the time of the last round went."""
        parts = {"forward and maxima": self.total - sum(self.seconds.values()), **self.seconds}
        ordered = sorted(parts.items(), key=lambda part: -part[1])
        return ", ".join(f"{name} {seconds / self.total:.0%}" for name, seconds in ordered)


def memory(small: int, large: int) -> None:
    """Prints the greatest resident memory of a build of so many images, and of more: copies with one pixel changed."""
    peaks = {}
    for count in (small, large):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.building", "--memory-of", str(count), folder]
            peaks[count] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(
        f"resident memory of a build: {peaks[small]:.0f} MB with {small:,} images, {peaks[large]:.0f} MB with "
        f"{large:,}: {peaks[large] / peaks[small] - 1:+.1%} (bar +10 %)",
        flush=True,
    )


def memory_of(count: int, folder: Path) -> None:
    """Builds an atlas of copies of a photo with one pixel changed, and prints the peak in MB."""
    size = (96, 96)
    picture = (photos(1, size)[0].permute(1, 2, 0) * 255).byte().numpy()
    (folder / "images").mkdir()
    for number in range(count):
        copy = picture.copy()
        copy[number // 96 % 96, number % 96] = number % 251, number // 251 % 251, 255
        Image.fromarray(copy).save(folder / "images" / f"{number:06d}.png", compress_level=1)
    convscope.build(folder / "images", convscope.load("efficientnet-lite0", size=size), folder / "atlas")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def learning(count: int = 128, rounds: int = 5) -> None:
    """All networks, then the memory. A slow network gets one shard a round."""
    for name in BARS:
        ratio(name, SHARD_SIZE if name == "torchvision:resnet50" else count, rounds)
    memory(1_000, 10_000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--net", choices=list(BARS))
    parser.add_argument("--memory-of", nargs=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        memory_of(int(options.memory_of[0]), Path(options.memory_of[1]))
    elif options.net:
        ratio(options.net, options.images, options.rounds)
    else:
        learning(options.images, options.rounds)
