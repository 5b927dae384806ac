"""From whatever a picture's numbers mean (palette, 16 bits, floats, ink, alpha) to RGB."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import UnreadableImage


def rgb_image(image: Image.Image) -> Image.Image:
    """A loaded picture of any mode → RGB (itself if it is that), alpha laid on white; UnreadableImage if out of range.

    Colour profiles are not applied, as nowhere in the training of ConvNets. Of 16-bit colour (not grey),
    Pillow keeps the upper byte.
    """
    if image.mode == "F":
        return Image.fromarray(bytes_from_floats(np.asarray(image))).convert("RGB")
    if image.mode.startswith("I"):
        return Image.fromarray(_bytes_from_long_grey(image)).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def bytes_from_floats(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Floats in [0, 1], else in [0, 255] → bytes, rounded; UnreadableImage for others and for NaN."""
    if not np.isfinite(values).all():
        raise UnreadableImage("float values that are not finite")
    lowest, highest = float(values.min()), float(values.max())
    if lowest < 0 or highest > 255:
        raise UnreadableImage(
            f"float values from {lowest:g} to {highest:g}",
            hint="scale them to 0–1 or 0–255; what they mean cannot be guessed",
        )
    pixels: NDArray[np.uint8] = np.rint(values * 255 if highest <= 1 else values).astype(np.uint8)
    return pixels


def bytes_from_unit_floats(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Floats in [0, 1] → bytes, rounded; what rounds to a byte passes, UnreadableImage otherwise."""
    if not np.isfinite(values).all():
        raise UnreadableImage("float values that are not finite")
    steps: NDArray[np.floating] = np.rint(values * 255)
    if steps.size and (steps.min() < 0 or steps.max() > 255):
        raise UnreadableImage(
            f"float values from {values.min():g} to {values.max():g}, not 0 to 1",
            hint="leave Normalize out of the dataset's transform: normalisation belongs to the net",
        )
    return steps.astype(np.uint8)


def _bytes_from_long_grey(image: Image.Image) -> NDArray[np.uint8]:
    """Modes I and I;16…: 0–65535 → H×W bytes, v / 257 rounded. (Pillow's own convert saturates at 255.)"""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImage(
            f"grey values from {values.min()} to {values.max()}",
            hint="scale them to 0–65535; what they mean cannot be guessed",
        )
    grey = (values + 128) // 257
    transparent = image.info.get("transparency")  # a PNG may declare one grey value transparent
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return grey.astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    """A picture with alpha → RGB, (colour·alpha + 255·(255 − alpha)) / 255 rounded."""
    # Pillow knows no way from La to RGBA but through LA.
    full = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    page = Image.new("RGB", full.size, "white")
    page.paste(full.convert("RGB"), mask=full.getchannel("A"))
    return page
