"""Real photos that installed packages ship, and JPEGs of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from convscope.data.decode import decode
from convscope.faces.demo import demo_photos, regions

NAMES = ("astronaut", "chelsea", "coffee", "rocket", "retina", "immunohistochemistry", "hubble_deep_field")
PHOTOS: dict[str, NDArray[np.uint8]] = {name: getattr(skimage.data, name)() for name in NAMES}
PHOTOS |= {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
PHOTOS["motorcycle"] = skimage.data.stereo_motorcycle()[0]


def jpeg(path: Path, pixels: NDArray[np.uint8], mode: str = "RGB", **options: object) -> Path:
    Image.fromarray(pixels).convert(mode).save(path, "JPEG", **{"quality": 90} | options)
    return path


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def cut_some(folder: Path, photos: Sequence[str], each: int) -> Path:
    """The first regions of some photos, as `convscope demo` cuts them: folder/PHOTO/….png."""
    for photo in demo_photos():
        if photo.stem in photos:
            (folder / photo.stem).mkdir(parents=True)
            for name, region in list(regions(decode(photo)))[:each]:
                Image.fromarray(region).save(folder / photo.stem / f"{name}.png", compress_level=1)
    return folder
