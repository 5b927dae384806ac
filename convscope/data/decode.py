"""A picture file, its bytes, or a PIL image → RGB as a person would see it; large JPEGs also in a smaller size."""

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

from convscope.arrays import Box
from convscope.data.colour import rgb_image
from convscope.data.picture import Least, Picture
from convscope.data.reasons import BROKEN, file_problem, reason, too_many_pixels
from convscope.errors import UnreadableImage

SHRINKABLE = ("JPEG", "MPO")  # an MPO is a JPEG with more pictures behind it
SHRINKS = (8, 4, 2)  # what a JPEG's sides can be divided by while it is decoded
PIECE = 1 << 20  # bytes handed to the JPEG decoder at once: at the end of each it does a row of blocks anew

_FILTERS = threading.Lock()


def decode(source: Path | str | bytes | Image.Image) -> NDArray[np.uint8]:
    """Path, bytes or PIL image → H×W×3 RGB, 0–255, EXIF turned, first frame; UnreadableImage."""
    if isinstance(source, Image.Image):
        return _despite_warnings(lambda: _picture(source)).pixels
    if isinstance(source, bytes):
        if not source:
            raise UnreadableImage("empty")
        return _despite_warnings(lambda: _decode_stream(io.BytesIO(source))).pixels
    try:
        return read_file(Path(source).expanduser())[1]
    except UnreadableImage as error:
        raise UnreadableImage(error.problem, error.hint or f"the file is {os.fspath(source)!r}") from error


def read_file(path: Path) -> tuple[str, NDArray[np.uint8]]:
    """The sha256 of the file's bytes (hex), and its picture as H×W×3 RGB, 0–255; UnreadableImage."""
    content, picture = read_picture(path)
    return content, picture.pixels


def read_picture(path: Path, least: Least | None = None) -> tuple[str, Picture]:
    """The sha256 of the file's bytes (hex), and its picture; UnreadableImage.

    least: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where so much remains. Without it never: the pixels differ.
    """
    if problem := file_problem(path):
        raise UnreadableImage(problem)
    try:
        with path.open("rb") as file:
            picture = _despite_warnings(lambda: _decode_stream(file, least))
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest(), picture
    except OSError as error:
        raise UnreadableImage(reason(error)) from error


def _despite_warnings(work: Callable[[], Picture]) -> Picture:
    """What the work gives, the same whatever the warning filters."""
    # Pillow warns of, say, broken EXIF and reads on. Only where the user has made warnings errors, it can't:
    # then once more without them, one thread at a time, since the filters belong to the whole process.
    try:
        return work()
    except Warning:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()


def _decode_stream(file: io.BytesIO | io.BufferedReader, least: Least | None = None) -> Picture:
    """An open file → its picture; the size is known, and refused, before a pixel is decoded."""
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
            if image.format in SHRINKABLE:
                image.decodermaxblock = PIECE
            try:
                return _picture(image, least)
            except UnreadableImage:
                if least is None or image.format not in SHRINKABLE:
                    raise
    except BROKEN as error:
        raise UnreadableImage(reason(error)) from error
    # A lossless JPEG has no smaller size, and a broken one is refused for the reason of the full decode.
    return _decode_stream(file)


def _picture(image: Image.Image, least: Least | None = None) -> Picture:
    """A PIL image, perhaps not loaded yet → its picture, turned as its EXIF says."""
    if 0 in image.size:
        raise UnreadableImage("no pixels")
    height, width = image.height, image.width
    try:
        extent = _shrink(image, least) if least else None
        image.load()
        rgb = rgb_image(image)
    except BROKEN as error:
        raise UnreadableImage(reason(error)) from error
    picture = Picture(rgb, height, width, extent) if extent else Picture.whole(rgb)
    return picture.turned(_orientation(image))


def _shrink(image: Image.Image, least: Least) -> Box | None:
    """Makes an image that is not loaded yet load in the smallest size of which enough remains.

    Gives where the original will lie in it, px; None where nothing changes.
    """
    if image.format not in SHRINKABLE:
        return None
    seen = image.size if _orientation(image) >= 5 else (image.height, image.width)
    height, width = least(*seen)
    for shrink in SHRINKS:
        if seen[0] >= shrink * height and seen[1] >= shrink * width:
            drafted = image.draft(None, (image.width // shrink, image.height // shrink))  # no mode: colours stay
            if drafted is None:
                return None
            left, top, right, bottom = drafted[1]
            return Box(float(top), float(left), bottom, right)
    return None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or where the EXIF data is broken."""
    # ImageOps.exif_transpose would write the EXIF data anew, and so fail on a good picture with broken EXIF.
    try:
        orientation = image.getexif().get(0x0112, 1)
    except (*BROKEN, Warning):
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
