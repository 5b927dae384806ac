"""Decode and prepare large JPEGs: as a build reads them, against torchvision's ImageFolder and a DataLoader."""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

from benchmarks.timing import turns
from convscope.data.items import ImageFile
from convscope.data.sources import list_images
from convscope.models.prepared import to_pixels
from convscope.models.preprocess import Preprocess
from convscope.passes.reading import read_crop

SIDE = 2048  # px of a photo's longer side
BATCH = 16
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of torchvision's own weights


def real_photos() -> list[NDArray[np.uint8]]:
    """Those of two packages, 400 to 741 px wide."""
    names = ("astronaut", "chelsea", "coffee", "rocket")
    photos = [getattr(skimage.data, name)() for name in names]
    return [*photos, *skimage.data.stereo_motorcycle()[:2], *map(load_sample_image, ("china.jpg", "flower.jpg"))]


def enlarged(photo: NDArray[np.uint8], turn: int) -> Image.Image:
    """A region, another one each turn, enlarged: softer than what cameras give, so quick to decode."""
    image = Image.fromarray(photo)
    left, top = image.width * 0.012 * (turn % 8), image.height * 0.012 * (turn // 8)
    scale = SIDE / max(image.size)
    size = round(image.width * scale), round(image.height * scale)
    box = (left, top, left + image.width * 0.9, top + image.height * 0.9)
    return image.resize(size, Image.Resampling.LANCZOS, box=box)


def repeated(photo: NDArray[np.uint8], turn: int) -> Image.Image:
    """The photo in its own size again and again, shifted each turn: as much detail as a JPEG of that size holds."""
    rows, columns = SIDE * 2 // 3, SIDE
    times = (rows // photo.shape[0] + 1, columns // photo.shape[1] + 1, 1)
    return Image.fromarray(np.roll(np.tile(photo, times)[:rows, :columns], (5 * turn, 3 * turn), (0, 1)))


def write_photos(folder: Path, count: int, kind: Callable[[NDArray[np.uint8], int], Image.Image]) -> None:
    """Large JPEGs of quality 90, a folder for each photo that they are made from."""
    photos = real_photos()
    for number in range(count):
        turn, source = divmod(number, len(photos))
        target = folder / f"class{source}" / f"{number:03d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        kind(photos[source], turn).save(target, quality=90)


def torchvision_way(folder: Path, preprocess: Preprocess, workers: int) -> DataLoader[tuple[Tensor, int]]:
    """The usual loader; its processes stay alive, so that their start is not measured."""
    method = InterpolationMode(preprocess.interpolation)
    steps = [Resize(preprocess.resize, method), CenterCrop(preprocess.size), ToTensor(), Normalize(MEAN, STD)]
    return DataLoader(ImageFolder(folder, Compose(steps)), BATCH, num_workers=workers, persistent_workers=True)


def our_way(files: Sequence[ImageFile], preprocess: Preprocess, workers: int) -> Iterator[Tensor]:
    """Batches ready for the first layer: what a build does but for packing, with the hash of every file."""
    with ThreadPoolExecutor(workers) as pool:
        crops = []
        for _, crop, _ in pool.map(lambda file: read_crop(file, preprocess, False), files):
            crops.append(crop)
            if len(crops) == BATCH:
                yield preprocess.normalise(to_pixels(np.stack(crops)))
                crops = []
    if crops:
        yield preprocess.normalise(to_pixels(np.stack(crops)))


def difference(files: Sequence[ImageFile], preprocess: Preprocess) -> tuple[float, float]:
    """The mean and the largest mean difference of an image's input from that of the full decode, in 1/255."""
    found = []
    for file in files:
        small, full = (read_crop(file, preprocess, whole)[1].astype(np.float64) for whole in (False, True))
        found.append(float(np.abs(small - full).mean()))
    return float(np.mean(found)), max(found)


def race(files: Sequence[ImageFile], folder: Path, preprocess: Preprocess, workers: int, runs: int) -> str:
    """Images per second of both ways, and the median of the rounds' own ratios, in words."""
    loader = torchvision_way(folder, preprocess, workers)
    found = turns({"theirs": lambda: list(loader), "ours": lambda: list(our_way(files, preprocess, workers))}, runs)
    ours, theirs = (len(files) / statistics.median(found[way]) for way in ("ours", "theirs"))
    ratio = statistics.median(slow / fast for slow, fast in zip(found["theirs"], found["ours"], strict=True))
    return f"{ours:.1f} images/s, theirs {theirs:.1f}: {ratio:.2f} times"


def decoding(count: int = 64, runs: int = 5) -> None:
    """Prints images per second of both ways with 1 and 2 workers, and how far ours is from the full decode."""
    preprocess = Preprocess((224, 224), MEAN, STD, 256, "bilinear")
    print(f"decode and prepare {count} JPEGs of {SIDE} px on the longer side, against ImageFolder + DataLoader:")
    for kind in (enlarged, repeated):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_photos(folder, count, kind)
            files = [file for file in list_images(folder).files if isinstance(file, ImageFile)]
            size = sum(file.path.stat().st_size for file in files) / count / 1000
            print(f"  photos {kind.__name__}, {size:.0f} KB each")
            for workers in (1, 2):
                speeds = race(files, folder, preprocess, workers, runs)
                print(f"    {workers} worker{'s' * (workers > 1)}: {speeds}")
            mean, worst = difference(files, preprocess)
            print(f"    from the full decode: {mean:.2f}/255 on the mean, {worst:.2f}/255 for the worst image")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    decoding(options.images, options.runs)
