"""Why a picture cannot be read, in a few plain words.

Reasons are stored in atlases, so they hold no path and no address: the same file gives the same words.
"""

import os
import re
import stat
import struct
import zlib
from pathlib import Path

from PIL import Image, UnidentifiedImageError

NOT_AN_IMAGE = "not an image that can be read (jpeg, png, …)"
TRUNCATED = "truncated: the file ends before the picture does"

# What Pillow's decoders raise on broken data.
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(RuntimeError, MemoryError, AssertionError, struct.error, zlib.error, Image.DecompressionBombError),
)


def file_problem(path: Path) -> str:
    """Why the path cannot be read as a file with something in it, in a few words; "" if it can."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return "a dangling link" if path.is_symlink() else "no such file"
    except OSError as error:
        return reason(error)
    except ValueError:  # a null character
        return "not a path"
    if stat.S_ISDIR(status.st_mode):
        return "a folder, not a file"
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device could wait for ever
        return "not a regular file (a pipe, socket or device)"
    return "" if status.st_size else "empty"


def reason(error: BaseException) -> str:
    """An exception of the decoder or of the disk in plain words, without paths and addresses."""
    if isinstance(error, UnidentifiedImageError):
        return NOT_AN_IMAGE
    if isinstance(error, Image.DecompressionBombError):
        return too_many_pixels()
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    words = re.sub(r"<[^>]*>|0x[0-9a-f]+|\S*/\S*", "…", str(error)).strip() or type(error).__name__
    if re.search(r"truncated|end of file|EOF", words, re.IGNORECASE):
        return TRUNCATED
    return f"broken or cut off: {words[:200]}"


def too_many_pixels() -> str:
    """The reason for refusing a decompression bomb."""
    return f"too large: more than {Image.MAX_IMAGE_PIXELS:,} pixels"
