"""An image that is an array or a tensor → RGB bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.data.colour import bytes_from_unit_floats
from convscope.data.decode import decode
from convscope.errors import UnreadableImage

CHANNELS = (1, 3, 4)


def pixels_of(image: Any) -> NDArray[np.uint8]:
    """PIL | bytes H×W, H×W×C or C×H×W | floats in [0, 1] likewise → H×W×3 RGB, 0–255; UnreadableImage.

    Where a shape can be read in two ways, bytes are H×W×C and floats C×H×W. C is 1, 3 or 4 (with alpha).
    """
    if isinstance(image, Image.Image):
        return decode(image)
    if hasattr(image, "detach"):  # a torch tensor, told without importing torch
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()  # numpy has no bfloat16
    if not isinstance(image, np.ndarray):
        raise UnreadableImage(
            f"of type {type(image).__name__}, not an image",
            hint="an image is PIL, H×W×3 bytes, or 3×H×W floats in [0, 1]",
        )
    floats = np.issubdtype(image.dtype, np.floating)
    if not floats and image.dtype != np.uint8:
        raise UnreadableImage(f"values of type {image.dtype}", hint="give bytes (uint8) or floats in [0, 1]")
    values = _channels_last(image, first_is_likelier=floats)
    pixels = bytes_from_unit_floats(values) if floats else values
    return decode(Image.fromarray(np.ascontiguousarray(pixels)))


def _channels_last(values: NDArray[Any], first_is_likelier: bool) -> NDArray[Any]:
    """H×W, H×W×C or C×H×W → H×W, H×W×3 or H×W×4; UnreadableImage for another shape, or an empty one."""
    if values.ndim == 3:
        first, last = values.shape[0] in CHANNELS, values.shape[2] in CHANNELS
        if first and (first_is_likelier or not last):
            values = np.moveaxis(values, 0, 2)
        if values.shape[2] == 1:
            values = values[:, :, 0]
    if values.size == 0 or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in CHANNELS)):
        raise UnreadableImage(f"the shape {values.shape} is not that of an image")
    return values
