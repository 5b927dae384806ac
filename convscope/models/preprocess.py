"""From an image to the pixels that the network sees, and the way back to places in the original."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.arrays import Box
from convscope.data.picture import Picture

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
REMAINING = 2  # times the resized height and width must remain of an image that is decoded in a smaller size
HARD = ("nearest", "box")  # filters whose every weight is 0 or 1: a smaller size would select other pixels


@dataclass(frozen=True)
class Placement:
    """Where the net's input lies in the original image: input row r is original row top + r·row_scale."""

    height: int  # of the original, px
    width: int
    top: float  # upper edge of the input in the original, px
    left: float
    row_scale: float  # original px for one input px
    column_scale: float

    def to_original(self, box: Box) -> Box:
        """A box in pixels of the net's input, brought to pixels of the original image and clipped to it."""
        return Box(
            self.top + box.top * self.row_scale,
            self.left + box.left * self.column_scale,
            self.top + box.bottom * self.row_scale,
            self.left + box.right * self.column_scale,
        ).clipped(self.height, self.width)

    def to_input(self, box: Box) -> Box:
        """A box in pixels of the original image, brought to pixels of the net's input (not clipped)."""
        return Box(
            (box.top - self.top) / self.row_scale,
            (box.left - self.left) / self.column_scale,
            (box.bottom - self.top) / self.row_scale,
            (box.right - self.left) / self.column_scale,
        )


@dataclass(frozen=True)
class Preprocess:
    """How images become input: resize, crop the centre, scale to [0, 1], normalise. It belongs to the weights."""

    size: tuple[int, int]  # height and width of the input, px
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)  # of pixels in [0, 1]
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    resize: int | tuple[int, int] | None = None  # short side, or (height, width) squashed; None: just covers `size`
    interpolation: Interpolation = "bilinear"

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the whole image after resizing, before the crop."""
        if isinstance(self.resize, tuple):
            return self.resize
        if self.resize is not None:
            short, long = sorted((height, width))
            other = int(self.resize * long / short)
            return (self.resize, other) if height <= width else (other, self.resize)
        scale = max(self.size[0] / height, self.size[1] / width)
        return max(self.size[0], round(height * scale)), max(self.size[1], round(width * scale))

    def least(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that must at least remain of an original that is decoded in a smaller size."""
        if (height, width) == self.size or self.interpolation in HARD:
            return height, width
        tall, wide = self.resized(height, width)
        return REMAINING * tall, REMAINING * wide

    def place(self, height: int, width: int) -> Placement:
        """Where the input lies in an original of that size; an image of just the net's size is taken as it is."""
        if (height, width) == self.size:
            return Placement(height, width, 0.0, 0.0, 1.0, 1.0)
        tall, wide = self.resized(height, width)
        top, left = round((tall - self.size[0]) / 2.0), round((wide - self.size[1]) / 2.0)
        row_scale, column_scale = height / tall, width / wide
        return Placement(height, width, top * row_scale, left * column_scale, row_scale, column_scale)

    def crop(self, image: NDArray[np.uint8] | Picture) -> tuple[NDArray[np.uint8], Placement]:
        """H×W×3 uint8, or what decoding gave → the input as uint8, and where it lies in the original.

        Only the part that is needed is resized, so that a 20,000×3 strip costs no more than a photo; Pillow's
        filters reach beyond that part, and give what resizing the whole image and then cropping would.
        """
        picture = image if isinstance(image, Picture) else Picture.whole(Image.fromarray(image))
        placement = self.place(picture.height, picture.width)
        if (picture.height, picture.width) == self.size:
            return picture.pixels, placement
        part = resample(picture, placement, self.size, self.interpolation)
        return np.asarray(part), placement

    def crop_float(self, image: Tensor) -> tuple[Tensor, Placement]:
        """3×H×W in [0, 1] → 3×height×width in [0, 1], and where it lies; the same filters without rounding."""
        placement = self.place(*image.shape[1:])
        if tuple(image.shape[1:]) == self.size:
            return image.clone(), placement
        planes = [Picture.whole(Image.fromarray(plane)) for plane in image.detach().cpu().float().numpy()]
        parts = [np.array(resample(plane, placement, self.size, self.interpolation)) for plane in planes]
        return torch.from_numpy(np.stack(parts)).clamp(0, 1).to(image.device), placement

    def normalise(self, pixels: Tensor) -> Tensor:
        """N×3×H×W in [0, 1] → what the network's first layer takes."""
        mean, std = (pixels.new_tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        if not mean.any() and (std == 1).all():
            return pixels
        return (pixels - mean).div_(std)


def resample(picture: Picture, placement: Placement, size: tuple[int, int], filter_name: str) -> Image.Image:
    """The part of a picture under the input, at the input's size."""
    bottom = min(placement.top + size[0] * placement.row_scale, placement.height)
    right = min(placement.left + size[1] * placement.column_scale, placement.width)
    extent = picture.extent
    tall, wide = extent.height / placement.height, extent.width / placement.width  # 1 where nothing was shrunk
    box = (
        extent.left + placement.left * wide,
        extent.top + placement.top * tall,
        min(extent.left + right * wide, extent.right),
        min(extent.top + bottom * tall, extent.bottom),
    )
    return picture.image.resize((size[1], size[0]), Image.Resampling[filter_name.upper()], box=box)
