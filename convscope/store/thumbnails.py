"""Small pictures of all images, halved again and again, made once from the packed ones and mapped into memory."""

import atexit
import os
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import BadAtlas, BuildStopped, DiskFull
from convscope.store.files import FULL, commit_folder, read_array
from convscope.store.opened import AtlasStore
from convscope.watch import SILENT, Watch

SIDE = 64  # px of the longer side of the largest
LEVELS = 7  # 64, 32, 16, 8, 4, 2 and 1 px
FOLDER = "thumbnails"
BLOCK = 256  # pictures between two words
MAKING = threading.Lock()  # one makes them, the others wait
ELSEWHERE: dict[str, Path] = {}  # of atlases that can only be read


class Thumbnails:
    """The images of an atlas at 64, 32, … 1 px; made when they are first asked for. Raises BuildStopped, DiskFull."""

    def __init__(self, store: AtlasStore, watch: Watch = SILENT) -> None:
        self.store = store
        with MAKING:
            folder = store.folder / FOLDER
            levels = read(folder, store) or read(ELSEWHERE.get(str(folder.resolve()), folder), store)
            self.levels = levels or read(make(store, folder, watch), store)

    def at_least(self, side: float) -> UInt8[np.ndarray, "N height width 3"]:
        """The smallest ones whose longer side has so many px; the largest where none has."""
        large = [level for level in self.levels if max(level.shape[1:3]) >= side]
        return large[-1] if large else self.levels[0]

    def vectors(self, side: int = 16) -> NDArray[np.float32]:
        """(N, D) pixels in [0, 1]: images as vectors of their own colours, the control of codes."""
        small = self.at_least(side)
        return np.asarray(small.reshape(len(small), -1), np.float32) / np.float32(255)


def read(folder: Path, store: AtlasStore) -> tuple[NDArray[np.uint8], ...]:
    """All levels, mapped; none where they are not whole, or of other images."""
    try:
        levels = tuple(read_array(folder / f"{level}.npy") for level in range(LEVELS))
    except BadAtlas:
        return ()
    whole = all(level.ndim == 4 and len(level) == len(store.images) and level.dtype == np.uint8 for level in levels)
    return levels if whole else ()


def make(store: AtlasStore, folder: Path, watch: Watch) -> Path:
    """Writes them, all or nothing; where the atlas can only be read, to a folder that goes when this process ends."""
    for old in store.folder.glob(f".{FOLDER}.*.part"):  # of a process that was killed
        shutil.rmtree(old, ignore_errors=True)
    try:
        temporary = Path(tempfile.mkdtemp(dir=store.folder, prefix=f".{FOLDER}.", suffix=".part"))
    except OSError:
        temporary = ELSEWHERE[str(folder.resolve())] = Path(tempfile.mkdtemp(prefix="convscope-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        folder = temporary
    try:
        write(store, temporary, watch)
        if temporary != folder:
            temporary.chmod(0o755)
            commit_folder(temporary, folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if error.errno in FULL:
            raise DiskFull(f"no room for the thumbnails of {store.folder}", "make room, and ask again") from error
        raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return folder


def write(store: AtlasStore, folder: Path, watch: Watch) -> None:
    """All levels, block after block, by plain writing: a full disk is then an error, and no signal."""
    count = len(store.images)
    sizes = [sizes_of(*store.pixels(0).shape[:2])]
    for _ in range(LEVELS - 1):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    with ExitStack() as opened, ThreadPoolExecutor(os.cpu_count()) as pool:  # the coder leaves Python's lock
        streams = [opened.enter_context((folder / f"{level}.npy").open("wb")) for level in range(LEVELS)]
        for stream, size in zip(streams, sizes, strict=True):
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *size, 3)}
            np.lib.format.write_array_header_1_0(stream, header)
        for start in range(0, count, BLOCK):
            rows = range(start, min(start + BLOCK, count))
            block = np.stack(list(pool.map(lambda row: small(store.pixels(row), sizes[0]), rows)))
            for stream in streams:
                stream.write(np.ascontiguousarray(block).data)
                block = halved(block)
            watch.progress(rows.stop, count, "thumbnails")
            if watch.stopped():
                raise BuildStopped("stopped before the thumbnails were made", "the same command makes them")


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
