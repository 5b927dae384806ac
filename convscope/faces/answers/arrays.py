"""Several arrays in one answer: a length, JSON {name: [dtype, shape]}, then the arrays, each at a multiple of 8."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {"f": "<f4", "i": "<i4", "b": "|u1"}  # what numbers are sent as, unless they are given in 16 or 8 bits


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Floats as float32, whole numbers as int32 (int16 and uint8 as they are), little-endian, in reading order."""
    ready = {name: np.ascontiguousarray(array, kind_of(array)) for name, array in arrays.items()}
    head = json.dumps({name: [array.dtype.str, list(array.shape)] for name, array in ready.items()}).encode()
    parts = [struct.pack("<I", len(head)), head, b"\0" * (-(4 + len(head)) % 8)]
    for array in ready.values():
        parts += [array.tobytes(), b"\0" * (-array.nbytes % 8)]
    return b"".join(parts)


def kind_of(array: NDArray[Any]) -> str:
    """The type that an array is sent as."""
    if array.dtype in (np.int16, np.uint8):
        return np.dtype(array.dtype).newbyteorder("<").str
    return KINDS["b" if array.dtype == bool else "i" if array.dtype.kind in "iu" else "f"]
