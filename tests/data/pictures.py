"""What tests of decoding share: a photo, files in memory, and why one is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from convscope.data.decode import decode
from convscope.errors import UnreadableImage

ASTRONAUT: NDArray[np.uint8] = skimage.data.astronaut()[:120, :160]  # type: ignore[no-untyped-call]
CHINA: NDArray[np.uint8] = load_sample_image("china.jpg")
BYTES = st.integers(0, 255)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def refusal(source: Path | str | bytes | Image.Image) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(source)
    return caught.value.problem


def on_white(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    colour, opacity = colour.astype(np.float64), alpha[..., None] / 255
    return np.floor(colour * opacity + 255 * (1 - opacity) + 0.5).astype(np.uint8)
