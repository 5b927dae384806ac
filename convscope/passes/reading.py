"""One shard: files → pixels → ONE forward → every fold's state, a row per image, and the packed pictures."""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image

from convscope.data.sources import DatasetItem, ImageFile, Shard, image_id
from convscope.errors import UnreadableImage
from convscope.models.net import Net
from convscope.models.prepared import to_pixels
from convscope.models.preprocess import Placement, Preprocess
from convscope.passes.fold import Batch, State
from convscope.passes.learning import Learner, NotFiniteError
from convscope.store.workspace import Partial

IMAGES = pa.schema(
    [
        ("row", pa.int64()), ("id", pa.string()), ("uri", pa.string()), ("label", pa.string()),
        ("content", pa.string()), ("height", pa.int32()), ("width", pa.int32()),
        ("top", pa.float64()), ("left", pa.float64()), ("row_scale", pa.float64()), ("column_scale", pa.float64()),
        ("offset", pa.int64()), ("length", pa.int32()),
    ]
)  # fmt: skip
NOT_FINITE = "the network gives scores that are no numbers (NaN or infinite) for it"
SKIPPED = pa.schema([("row", pa.int64()), ("uri", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True, eq=False)
class Read:
    """A readable file: its content's hash, the crop that the net sees, where it lies, and its packed picture."""

    content: str
    crop: NDArray[np.uint8]
    placement: Placement
    packed: bytes


@dataclass(frozen=True, eq=False)
class ShardReader:
    """The function that an engine maps over the shards; it holds the net and the folds."""

    learner: Learner
    ranks: NDArray[np.int64]  # (images,) places of all images in a seeded random order
    batch_size: int
    so_far: Mapping[str, State] = field(default_factory=dict)  # the folds' states after the shards that are merged
    full_decode: bool = False  # large JPEGs, too, with all their pixels
    readers: int = 2  # threads that decode while the network runs

    @property
    def net(self) -> Net:
        """The net that the images are prepared for."""
        return self.learner.net

    def __call__(self, shard: Shard) -> Partial:
        """Everything that one shard gives; images for which the net gives NaN are skipped, and said so."""
        refused: frozenset[int] = frozenset()
        while True:
            try:
                return self.work(shard, refused)
            except NotFiniteError as found:  # rare: the shard is read again without them
                refused |= frozenset(found.rows.tolist())

    def work(self, shard: Shard, refused: frozenset[int]) -> Partial:
        """A shard without some of its rows."""
        images: list[dict[str, object]] = []
        skipped: list[dict[str, object]] = []
        pack = bytearray()
        packed: dict[str, tuple[int, int]] = {}
        states = self.learner.begin(self.so_far)
        waiting: list[tuple[int, Read, int]] = []
        bad: list[NDArray[np.int64]] = []  # rows that are to be left out; the rest is read to find them all at once
        alone = any(isinstance(file, DatasetItem) for file in shard.files)  # few datasets can be read from two threads
        pool = ThreadPoolExecutor(1 if alone else self.readers)
        try:
            for step, result in enumerate(pool.map(self.read, shard.files)):
                file, row = shard.files[step], shard.first_row + step
                if row in refused:
                    result = NOT_FINITE
                if isinstance(result, str):
                    skipped.append({"row": row, "uri": file.uri, "reason": result})
                    continue
                if result.content not in packed:
                    packed[result.content] = (len(pack), len(result.packed))
                    pack += result.packed
                offset, length = packed[result.content]
                where = {"content": result.content, "offset": offset, "length": length}
                known = {"row": row, "id": image_id(result.content, file.name), "uri": file.uri, "label": file.label}
                images.append(known | where | vars(result.placement))
                target = self.net.match_label(file.label)
                waiting.append((row, result, -1 if target is None else target))
                if len(waiting) == self.batch_size:
                    bad += self.learnt(states, waiting)
                    waiting = []
        finally:  # after Ctrl-C nobody waits for files that nobody will use
            pool.shutdown(cancel_futures=True)
        if waiting:
            bad += self.learnt(states, waiting)
        if bad:
            raise NotFiniteError(np.concatenate(bad))
        tables = pa.Table.from_pylist(images, IMAGES), pa.Table.from_pylist(skipped, SKIPPED)
        return Partial(*tables, bytes(pack), states)

    def learnt(self, states: dict[str, State], waiting: Sequence[tuple[int, Read, int]]) -> list[NDArray[np.int64]]:
        """Learns from a batch; gives the rows for which the net gives NaN, which spoil the states."""
        try:
            self.learner.learn(states, self.batch(waiting))
        except NotFiniteError as found:
            return [found.rows]
        return []

    def read(self, file: ImageFile | DatasetItem) -> Read | str:
        """A file's crop, or the reason why it cannot be read."""
        try:
            content, crop, placement = read_crop(file, self.net.preprocess, self.full_decode)
        except UnreadableImage as error:
            return error.problem
        return Read(content, crop, placement, pack_picture(crop))

    def batch(self, waiting: Sequence[tuple[int, Read, int]]) -> Batch:
        """Images that were read, as the folds take them."""
        pixels = to_pixels(np.stack([read.crop for _, read, _ in waiting]))
        rows = np.array([row for row, _, _ in waiting], np.int64)
        return Batch(
            rows,
            np.array([int(read.content[:16], 16) for _, read, _ in waiting], np.uint64),
            np.array([target for _, _, target in waiting], np.int64),
            self.ranks[rows],
            pixels.contiguous(memory_format=torch.channels_last),  # convolutions are half as fast again with it
        )


def read_crop(
    file: ImageFile | DatasetItem, preprocess: Preprocess, full_decode: bool
) -> tuple[str, NDArray[np.uint8], Placement]:
    """A file's content hash, its crop as the net sees it, and where that lies in the original; UnreadableImage."""
    content, picture = file.picture(None if full_decode else preprocess.least)
    return content, *preprocess.crop(picture)


def pack_picture(crop: NDArray[np.uint8]) -> bytes:
    """A crop as lossless WebP: just what the net saw, at about half of its raw size."""
    stream = io.BytesIO()
    Image.fromarray(crop).save(stream, "WEBP", lossless=True, method=0, quality=0)
    return stream.getvalue()


def unpack_picture(atlas: Path, table: pa.Table, row: int) -> NDArray[np.uint8]:
    """H×W×3: a packed crop of an atlas, as the net saw it."""
    pack, offset, length = (int(table[name][row].as_py()) for name in ("pack", "offset", "length"))
    with (atlas / "packs" / f"{pack:06d}").open("rb") as stream:
        stream.seek(offset)
        content = stream.read(length)
    with Image.open(io.BytesIO(content), formats=["WEBP"]) as picture:
        return np.asarray(picture.convert("RGB"))
