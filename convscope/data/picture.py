"""What a file's decoding gives: the pixels, perhaps fewer than the file's, and where the original lies in them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.arrays import Box

# Height and width of an original, as seen → the height and width that its decoded picture must have at least.
Least = Callable[[int, int], tuple[int, int]]

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as read. Where a JPEG was decoded in a smaller size, `height` and `width` are still the original's."""

    image: Image.Image  # RGB, loaded
    height: int  # of the original, px
    width: int
    extent: Box  # the original's in pixels of `image`; a smaller size is rounded up, so not always all of it

    @classmethod
    def whole(cls, image: Image.Image) -> "Picture":
        """A picture that has all pixels of its original."""
        return cls(image, image.height, image.width, Box(0.0, 0.0, float(image.height), float(image.width)))

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """H×W×3 RGB, 0–255; a copy."""
        return np.array(self.image)  # asarray's view would be read-only, which torch warns of

    def turned(self, orientation: int) -> "Picture":
        """As seen, from as stored: by EXIF's orientation, 1 to 8."""
        if orientation not in TURNS:
            return self
        image, (top, left, bottom, right) = self.image.transpose(TURNS[orientation]), self.extent
        height, width = self.height, self.width
        if orientation >= 5:
            height, width, top, left, bottom, right = width, height, left, top, right, bottom
        if orientation in (3, 4, 7, 8):  # the last row becomes the first
            top, bottom = image.height - bottom, image.height - top
        if orientation in (2, 3, 6, 7):
            left, right = image.width - right, image.width - left
        return Picture(image, height, width, Box(top, left, bottom, right))
