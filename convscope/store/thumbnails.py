"""Small pictures of all images, halved again and again, made once from the packed ones and mapped into memory."""

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import BuildStopped
from convscope.store.files import commit_folder, read_array
from convscope.store.opened import AtlasStore
from convscope.watch import SILENT, Watch

SIDE = 64  # px of the longer side of the largest
LEVELS = 7  # 64, 32, 16, 8, 4, 2 and 1 px
FOLDER = "thumbnails"
BLOCK = 256  # pictures between two words


class Thumbnails:
    """The images of an atlas at 64, 32, … 1 px; made when they are first asked for. Raises BuildStopped."""

    def __init__(self, store: AtlasStore, watch: Watch = SILENT) -> None:
        self.store = store
        folder = store.folder / FOLDER
        if not (folder / "0.npy").exists():
            folder = make(store, folder, watch)
        self.levels = tuple(read_array(folder / f"{level}.npy") for level in range(LEVELS))

    def at_least(self, side: float) -> UInt8[np.ndarray, "N height width 3"]:
        """The smallest ones whose longer side has so many px; the largest where none has."""
        large = [level for level in self.levels if max(level.shape[1:3]) >= side]
        return large[-1] if large else self.levels[0]

    def vectors(self, side: int = 16) -> NDArray[np.float32]:
        """(N, D) pixels in [0, 1]: images as vectors of their own colours, the control of codes."""
        small = self.at_least(side)
        return np.asarray(small.reshape(len(small), -1), np.float32) / np.float32(255)


def make(store: AtlasStore, folder: Path, watch: Watch) -> Path:
    """Writes them, all or nothing; where the atlas cannot be written to, to a folder of this run."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        temporary.mkdir()
    except OSError:
        temporary = folder = Path(tempfile.mkdtemp(prefix="convscope-"))
    try:
        write(store, temporary, watch)
        if temporary != folder:
            commit_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return folder


def write(store: AtlasStore, folder: Path, watch: Watch) -> None:
    """All levels, block after block."""
    count = len(store.images)
    height, width = store.pixels(0).shape[:2]
    sizes = [sizes_of(height, width)]
    for _ in range(LEVELS - 1):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    arrays = [
        np.lib.format.open_memmap(folder / f"{level}.npy", "w+", np.uint8, (count, *size, 3))
        for level, size in enumerate(sizes)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the coder leaves Python's lock
        for start in range(0, count, BLOCK):
            rows = range(start, min(start + BLOCK, count))
            block = np.stack(list(pool.map(lambda row: small(store.pixels(row), sizes[0]), rows)))
            for array in arrays:
                array[rows.start : rows.stop] = block
                block = halved(block)
            watch.progress(rows.stop, count, "thumbnails")
            if watch.stopped():
                raise BuildStopped("stopped before the thumbnails were made", "the same command makes them")
    for array in arrays:
        array.flush()


def sizes_of(height: int, width: int) -> tuple[int, int]:
    """Of the largest thumbnails: the longer side as it is given, none enlarged."""
    factor = min(1.0, SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def small(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture at a size (height, width), each pixel the mean of what it covers."""
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BOX))


def halved(block: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (N, H, W, 3) at half their size; odd sides repeat their last line."""
    odd = [(0, 0), (0, block.shape[1] % 2), (0, block.shape[2] % 2), (0, 0)]
    block = np.pad(block, odd, mode="edge")
    count, height, width, _ = block.shape
    parts = block.reshape(count, height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    return np.asarray((parts.sum((2, 4)) + 2) // 4, np.uint8)
