"""What tests of listings share: two small photos, and what a listing holds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from convscope.data.sources import Listing, list_images
from convscope.errors import NoImages

CHINA, FLOWER = (image[::8, ::8].copy() for image in load_sample_images().images)


def save(path: Path, pixels: np.ndarray = FLOWER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def names(listing: Listing) -> list[str]:
    return [file.name for file in listing.files]


def uris(listing: Listing) -> list[str]:
    return [file.uri for file in listing.files]


def labels(listing: Listing) -> list[str | None]:
    return [file.label for file in listing.files]


def refusal(images: Any) -> NoImages:
    with pytest.raises(NoImages) as caught:
        list_images(images)
    return caught.value


class Pairs:
    """A dataset of given items that counts how often it is asked."""

    def __init__(self, items: list[Any]) -> None:
        self.items, self.asked = items, 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        self.asked += 1
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]
