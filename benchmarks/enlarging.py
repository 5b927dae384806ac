"""A large atlas in little time: a real one of a few hundred photos, and copies of these with one pixel changed.

Every copy has its own content, picture and row. The statistics are those of the real photos; the patches that a unit
shows come from random copies, so that a page needs pictures from all over the packs.
"""

import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

import convscope
from benchmarks.building import network
from convscope.data.items import image_id
from convscope.faces.demo import cut_regions
from convscope.passes.reading import pack_picture
from convscope.store.files import read_json, write_json, write_rows, write_table
from convscope.store.opened import AtlasStore

PHOTOS = 256  # that are really read
PACKED = 64  # images in a pack, as a build leaves them


def photos_atlas(folder: Path, name: str) -> Path:
    """The atlas of the real photos, and in weights.pth the network's random weights."""
    weights, out = folder / "weights.pth", folder / "photos"
    if not weights.exists():
        torch.save(network(name)[1].state_dict(), weights)
    cut_regions(folder / "regions")
    convscope.build(folder / "regions", convscope.load(name, weights=weights), out, limit=PHOTOS)
    return out


def enlarged(source: Path, folder: Path, count: int) -> Path:
    """The same atlas with so many images; one that is there already is taken as it is."""
    out = folder / f"images-{count}"
    if (out / "manifest.json").exists():
        return out
    store = AtlasStore(source)
    base, dice = len(store.images), np.random.default_rng(0)
    kept = shutil.ignore_patterns("packs", "codes", "images.parquet", "manifest.json")
    shutil.copytree(source, out, ignore=kept, dirs_exist_ok=True)
    (out / "packs").mkdir(exist_ok=True)
    firsts = range(0, count, PACKED)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        jobs = [pool.submit(write_pack, source, out, first, count) for first in firsts]
        lengths = [length for job in jobs for length in job.result()]
    write_table(out / "images.parquet", copied_table(store.images, lengths))
    for path in sorted((source / "codes").glob("*.npy")):
        codes = np.load(path)
        rows = (codes[np.arange(first, min(first + PACKED, count)) % base] for first in firsts)
        write_rows(out / "codes" / path.name, (count, codes.shape[1]), codes.dtype, rows)
    for fold in ("strongest", "middle", "directions"):
        rows = np.load(out / fold / "rows.npy")
        copies = dice.integers(0, (count - 1 - np.maximum(rows, 0)) // base + 1)
        write_rows(out / fold / "rows.npy", rows.shape, rows.dtype, [np.where(rows < 0, rows, rows + base * copies)])
    write_json(out / "manifest.json", {**read_json(source / "manifest.json"), "images": count})
    return out


def write_pack(source: Path, out: Path, first: int, count: int) -> list[int]:
    """Writes one pack of the large atlas, and gives the lengths of its pictures; copy c differs in the pixel c."""
    originals, pictures = photos(source), []
    for row in range(first, min(first + PACKED, count)):
        copy, original = divmod(row, len(originals))
        pixels = originals[original].copy()
        if copy:
            pixels[divmod(copy, pixels.shape[1])] ^= 255
        pictures.append(pack_picture(pixels))
    (out / "packs" / f"{first // PACKED:06d}").write_bytes(b"".join(pictures))
    return [len(picture) for picture in pictures]


@cache
def photos(source: Path) -> list[NDArray[np.uint8]]:
    """The pictures of an atlas, decoded once in each process."""
    store = AtlasStore(source)
    return [store.pixels(row) for row in range(len(store.images))]


def copied_table(table: pa.Table, lengths: Sequence[int]) -> pa.Table:
    """A row for each copy, with a name, a content and a place of its own."""
    rows = np.arange(len(lengths))
    copies, originals = np.divmod(rows, len(table))
    contents, uris = table["content"].to_pylist(), table["uri"].to_pylist()
    pairs = list(zip(copies.tolist(), originals.tolist(), strict=True))
    uri = [f"{uris[at].removesuffix('.png')}-copy{copy:04d}.png" for copy, at in pairs]
    content = [sha256(f"{contents[at]} {copy}".encode()).hexdigest() for copy, at in pairs]
    starts = np.array(lengths, np.int64).cumsum() - lengths
    own = {
        "id": [image_id(*names) for names in zip(content, uri, strict=True)],
        "uri": uri,
        "content": content,
        "pack": rows // PACKED,
        "offset": starts - starts[rows // PACKED * PACKED],
        "length": lengths,
    }
    found = table.take(pa.array(originals))
    for name, values in own.items():
        field = table.schema.field(name)
        found = found.set_column(found.schema.get_field_index(name), field, pa.array(values, field.type))
    return found
