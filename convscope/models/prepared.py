"""An image of any kind as the net sees it, and the way back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.data.decode import decode
from convscope.errors import BadOption
from convscope.models.preprocess import Placement, Preprocess

ImageLike = str | Path | Image.Image | NDArray[Any] | Tensor


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image as the net sees it, and the way back."""

    pixels: Float[Tensor, "1 3 height width"]  # in [0, 1], before normalisation
    placement: Placement  # where the pixels lie in the original
    original: UInt8[np.ndarray, "rows columns 3"]  # the image it was made from


def prepare(preprocess: Preprocess, image: ImageLike) -> Prepared:
    """A path, PIL image, H×W×3 uint8 array or 3×H×W tensor in [0, 1], resized and cropped; not yet normalised.

    Raises UnreadableImage, and BadOption for an array or tensor of another layout.
    """
    if not isinstance(image, str | Path | Image.Image | np.ndarray | Tensor):
        raise BadOption(f"a {type(image).__name__} is no image", "give a path, PIL image, array or tensor")
    if isinstance(image, Tensor):
        if image.ndim == 4 and image.shape[0] == 1:
            image = image[0]
        if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape or not image.is_floating_point():
            raise BadOption(f"a tensor image is 3×H×W float in [0, 1], not {tuple(image.shape)} {image.dtype}")
        if not bool(((image >= 0) & (image <= 1)).all()):
            raise BadOption(
                "a tensor image has values in [0, 1]",
                "give it before normalisation; bytes are divided by 255",
            )
        pixels, placement = preprocess.crop_float(image.float())
        original = (image.detach().cpu().float() * 255).round().byte().permute(1, 2, 0).numpy()
        return Prepared(pixels[None], placement, original)
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise BadOption(f"an array image is H×W×3 uint8, not {image.shape} {image.dtype}")
        original = image
    else:
        original = decode(image)
    crop, placement = preprocess.crop(original)
    return Prepared(to_pixels(crop[None]), placement, original)


def to_pixels(images: UInt8[np.ndarray, "n height width 3"]) -> Float[Tensor, "n 3 height width"]:
    """Bytes as the net takes them: N×H×W×3 in 0 … 255 → N×3×H×W in [0, 1]."""
    return torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C")).float() / 255


def name_of(image: ImageLike) -> str:
    """What a caption calls the image."""
    path = getattr(image, "filename", "") if isinstance(image, Image.Image) else image
    if isinstance(path, str | Path) and str(path):
        return Path(path).name
    return {Image.Image: "a picture", Tensor: "a tensor"}.get(type(image), "an array")
