"""One shard: files → pixels → ONE forward → every fold's state, a row per image, and the packed pictures."""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image

from convscope.data.sources import DatasetItem, ImageFile, Shard, image_id
from convscope.errors import UnreadableImage
from convscope.models.net import Net
from convscope.models.prepared import to_pixels
from convscope.models.preprocess import Placement
from convscope.passes.fold import Batch, Fold, State
from convscope.store.workspace import Partial

IMAGES = pa.schema(
    [
        ("row", pa.int64()), ("id", pa.string()), ("uri", pa.string()), ("label", pa.string()),
        ("content", pa.string()), ("height", pa.int32()), ("width", pa.int32()),
        ("top", pa.float64()), ("left", pa.float64()), ("row_scale", pa.float64()), ("column_scale", pa.float64()),
        ("offset", pa.int64()), ("length", pa.int32()),
    ]
)  # fmt: skip
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

    net: Net
    folds: Sequence[Fold]
    batch_size: int
    readers: int = 2  # threads that decode while the network runs

    def __call__(self, shard: Shard) -> Partial:
        """Everything that one shard gives."""
        images: list[dict[str, object]] = []
        skipped: list[dict[str, object]] = []
        pack = bytearray()
        packed: dict[str, tuple[int, int]] = {}
        states = {fold.name: fold.none() for fold in self.folds}
        waiting: list[tuple[int, Read, int]] = []
        alone = any(isinstance(file, DatasetItem) for file in shard.files)  # few datasets can be read from two threads
        pool = ThreadPoolExecutor(1 if alone else self.readers)
        try:
            for step, result in enumerate(pool.map(self.read, shard.files)):
                file, row = shard.files[step], shard.first_row + step
                if isinstance(result, str):
                    skipped.append({"row": row, "uri": file.uri, "reason": result})
                    continue
                if result.content not in packed:
                    packed[result.content] = (len(pack), len(result.packed))
                    pack += result.packed
                offset, length = packed[result.content]
                images.append(
                    {
                        "row": row,
                        "id": image_id(result.content, file.name),
                        "uri": file.uri,
                        "label": file.label,
                    }
                    | {"content": result.content, "offset": offset, "length": length}
                    | vars(result.placement)
                )
                target = self.net.match_label(file.label)
                waiting.append((row, result, -1 if target is None else target))
                if len(waiting) == self.batch_size:
                    states = self.add(states, waiting)
                    waiting = []
        finally:  # after Ctrl-C nobody waits for files that nobody will use
            pool.shutdown(cancel_futures=True)
        if waiting:
            states = self.add(states, waiting)
        tables = pa.Table.from_pylist(images, IMAGES), pa.Table.from_pylist(skipped, SKIPPED)
        return Partial(*tables, bytes(pack), states)

    def read(self, file: ImageFile | DatasetItem) -> Read | str:
        """A file's crop, or the reason why it cannot be read."""
        try:
            content, image = file.read()
        except UnreadableImage as error:
            return error.problem
        crop, placement = self.net.preprocess.crop(image)
        return Read(content, crop, placement, pack_picture(crop))

    def add(self, states: Mapping[str, State], waiting: Sequence[tuple[int, Read, int]]) -> dict[str, State]:
        """One forward, as far as the deepest layer asked for, and every fold's `add`."""
        layers = list(dict.fromkeys(layer for fold in self.folds for layer in fold.layers))
        pixels = to_pixels(np.stack([read.crop for _, read, _ in waiting]))
        pixels = pixels.contiguous(memory_format=torch.channels_last)  # convolutions are half as fast again with it
        batch = Batch(
            np.array([row for row, _, _ in waiting], np.int64),
            np.array([int(read.content[:16], 16) for _, read, _ in waiting], np.uint64),
            np.array([target for _, _, target in waiting], np.int64),
            self.net.outputs(pixels, layers),
        )
        return {fold.name: fold.add(states[fold.name], batch) for fold in self.folds}


def pack_picture(crop: NDArray[np.uint8]) -> bytes:
    """A crop as lossless WebP: just what the net saw, at about half of its raw size."""
    stream = io.BytesIO()
    Image.fromarray(crop).save(stream, "WEBP", lossless=True, method=0, quality=0)
    return stream.getvalue()
