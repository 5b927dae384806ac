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

IMAGES = 16_000  # of the data set that the measured images belong to: it says how many of them a sample takes
BARS = {"torchvision:alexnet": 0.85, "torchvision:resnet50": 0.85, "efficientnet-lite0": 0.75}
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
    """Prints images per second of both, and their ratio: the median over the rounds."""
    net, module = network(name)
    pixels = photos(count, net.size)
    normal = net.preprocess.normalise(pixels).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def bare(batch: int, images: int = count) -> float:
        start = time.perf_counter()
        for at in range(0, images, batch):
            module(normal[at : at + batch])
        return time.perf_counter() - start

    bare(8, 32)
    trials = {batch: min(bare(batch, 32) for _ in range(2)) for batch in BATCHES}
    best = min(trials, key=lambda batch: trials[batch])
    learn = learner(net, pixels)
    for _ in range(WARM):
        learn()
    times = [(bare(best), learn()) for _ in range(rounds)]
    found = statistics.median(one / other for one, other in times)
    fast, ours = (count / statistics.median(column) for column in zip(*times, strict=True))
    layers = len(follow(net, None))
    print(
        f"{name}: {ours:.1f} images/s with all folds on {layers} layers (batch {best_batch(net)}), bare network "
        f"{fast:.1f} (batch {best}): ratio {found:.2f} (bar {BARS[name]})",
        flush=True,
    )


def learner(net: convscope.Net, pixels: Tensor) -> Callable[[], float]:
    """A function that lets every fold learn from all images, and gives the seconds it took; its state goes on."""
    layers = follow(net, None)
    learning = Learner(net, choose_folds(net, layers, IMAGES, 9, DIRECTIONS, (), 0), layers)
    states, size = learning.none(), best_batch(net)
    ranks = np.random.default_rng(0).permutation(IMAGES)
    rows = 0

    def learn() -> float:
        nonlocal rows
        start = time.perf_counter()
        for at in range(0, len(pixels), size):
            part = pixels[at : at + size]
            row = np.arange(rows, rows + len(part))
            rows += len(part)
            targets = np.full(len(part), -1, np.int64)
            learning.learn(states, Batch(row, row.astype(np.uint64), targets, ranks[row % IMAGES], part))
        return time.perf_counter() - start

    return learn


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


def learning(count: int = 96, rounds: int = 5) -> None:
    """All networks, then the memory."""
    for name in BARS:
        ratio(name, count, rounds)
    memory(1_000, 10_000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=96)
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
