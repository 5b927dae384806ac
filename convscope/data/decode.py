"""A picture file, its bytes, or a PIL image → RGB bytes as a person would see them."""

import hashlib
import io
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.data.colour import rgb_bytes
from convscope.data.reasons import BROKEN, file_problem, reason, too_many_pixels
from convscope.errors import UnreadableImage

_FILTERS = threading.Lock()


def decode(source: Path | str | bytes | Image.Image) -> NDArray[np.uint8]:
    """Path, bytes or PIL image → H×W×3 RGB, 0–255, EXIF turned, first frame; UnreadableImage."""
    if isinstance(source, Image.Image):
        return _despite_warnings(lambda: _pixels(source))
    if isinstance(source, bytes):
        if not source:
            raise UnreadableImage("empty")
        return _despite_warnings(lambda: _decode_stream(io.BytesIO(source)))
    try:
        return read_file(Path(source).expanduser())[1]
    except UnreadableImage as error:
        raise UnreadableImage(error.problem, error.hint or f"the file is {os.fspath(source)!r}") from error


def read_file(path: Path) -> tuple[str, NDArray[np.uint8]]:
    """The sha256 of the file's bytes (hex), and its picture as H×W×3 RGB, 0–255; UnreadableImage."""
    if problem := file_problem(path):
        raise UnreadableImage(problem)
    try:
        with path.open("rb") as file:
            pixels = _despite_warnings(lambda: _decode_stream(file))
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest(), pixels
    except OSError as error:
        raise UnreadableImage(reason(error)) from error


def _despite_warnings(work: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """What the work gives, the same whatever the warning filters."""
    # Pillow warns of, say, broken EXIF and reads on. Only where the user has made warnings errors, it can't:
    # then once more without them, one thread at a time, since the filters belong to the whole process.
    try:
        return work()
    except Warning:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()


def _decode_stream(file: io.BytesIO | io.BufferedReader) -> NDArray[np.uint8]:
    """An open file → H×W×3 RGB, 0–255; the size is known, and refused, before a pixel is decoded."""
    # The file is passed, not its name: given a name, Pillow maps raw formats into memory, and a file
    # that shrinks meanwhile kills the process.
    try:
        with Image.open(file) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                # Pillow only warns up to twice the limit, and making that warning an error by a filter
                # would not be safe in threads.
                raise UnreadableImage(too_many_pixels())
            if image.format == "EPS":  # Pillow would hand it to Ghostscript, which runs programs
                raise UnreadableImage("a PostScript drawing, not an image", hint="convert it to PNG")
            return _pixels(image)
    except BROKEN as error:
        raise UnreadableImage(reason(error)) from error


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """A PIL image, perhaps not loaded yet → H×W×3 RGB, 0–255, turned as its EXIF says."""
    # Never image.draft(): it makes JPEGs load faster in a smaller size, but with other pixel values.
    if 0 in image.size:
        raise UnreadableImage("no pixels")
    try:
        image.load()
        pixels = rgb_bytes(image)
    except BROKEN as error:
        raise UnreadableImage(reason(error)) from error
    return _turned(pixels, _orientation(image))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or where the EXIF data is broken."""
    # ImageOps.exif_transpose would write the EXIF data anew, and so fail on a good picture with broken EXIF.
    try:
        orientation = image.getexif().get(0x0112, 1)
    except (*BROKEN, Warning):
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """H×W×3 as stored → as seen: orientations from 5 on swap rows and columns, then mirrors follow."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
