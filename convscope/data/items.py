"""What a listing lists: image files that can read themselves, and files that were skipped."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscope.data.decode import read_picture
from convscope.data.picture import Least, Picture


@dataclass(frozen=True)
class ImageFile:
    """A file that may be an image; whether it is one shows when it is read."""

    path: Path  # where to read, absolute; bytes that are no UTF-8 stay as Python keeps them (surrogates)
    uri: str  # as the user would write it, posix separators, valid UTF-8
    name: str  # relative to the listing's root, posix separators, valid UTF-8; part of the image's id
    label: str | None

    def read(self) -> tuple[str, NDArray[np.uint8]]:
        """The content hash (sha256 of the file, hex) and H×W×3 RGB, 0–255; UnreadableImage."""
        content, picture = self.picture()
        return content, picture.pixels

    def picture(self, least: Least | None = None) -> tuple[str, Picture]:
        """The same with the picture, of a large JPEG in a smaller size of which `least` remains; UnreadableImage."""
        return read_picture(self.path, least)

    def stamp(self) -> tuple[int, int]:
        """Size in bytes and time of change in ns; (-1, 0) for a file that is missing."""
        try:
            status = self.path.stat()
        except (OSError, ValueError):
            return -1, 0
        return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Skipped:
    """A file that is no image, or cannot be read, and why."""

    uri: str
    reason: str


def image_id(content: str, name: str) -> str:
    """16 hex digits, from an image's content hash and its name in the listing."""
    return hashlib.sha256(f"{content}\0{name}".encode()).hexdigest()[:16]


def text_of(path: str | os.PathLike[str]) -> str:
    """A path → valid UTF-8 text with posix separators; bytes that are no UTF-8 become \\xff."""
    raw = Path(path).as_posix()
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
