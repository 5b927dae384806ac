"""A finished atlas as data: its tables, arrays and pictures. Nothing in it is ever run."""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import BadAtlas, BadOption
from convscope.store.files import read_array, read_json
from convscope.store.kept import all_kept, find
from convscope.store.workspace import FORMAT, MANIFEST, is_atlas

ADDED = "added-codes"  # the folder of codes that came after the build


class AtlasStore:
    """The files of one atlas; BadAtlas where they are missing, broken or of another format."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        if not (self.folder / MANIFEST).exists():
            if is_atlas(self.folder):
                raise BadAtlas(f"{folder} is an unfinished atlas", "give the same `convscope build` command to go on")
            raise BadAtlas(f"{folder} is no atlas", "`convscope build IMAGES --net NAME --out FOLDER` makes one")
        self.manifest: Mapping[str, Any] = read_json(self.folder / MANIFEST)
        if not isinstance(self.manifest, dict) or self.manifest.get("format") != FORMAT:
            found = self.manifest.get("format") if isinstance(self.manifest, dict) else None
            raise BadAtlas(f"{folder} has the atlas format {found}, this Convscope reads {FORMAT}", "build it again")

        net = self.manifest.get("net")
        if (
            not isinstance(net, dict)
            or not {"name", "layers", "labels", "output"} <= set(net)
            or not all(isinstance(self.manifest.get(part), dict) for part in ("folds", "maps", "filters"))
        ):
            raise BadAtlas(
                f"the manifest of {folder} is broken", "copy the whole folder again, or build the atlas again"
            )

    def check_net(self, name: str, fingerprint: str) -> None:
        """BadOption unless this is the network that the atlas was built with."""
        built = self.manifest["net"]
        if fingerprint != built.get("fingerprint"):
            raise BadOption(
                f"{name} is not the network of this atlas: its weights, size or labels differ",
                f"the atlas was built with {built['name']}; give its --net and --weights",
            )

    @cached_property
    def mark(self) -> str:
        """Stands for this atlas: another network, other images or other options give another one."""
        parts = [self.manifest["net"].get("fingerprint"), self.manifest.get("key"), self.images["id"].to_pylist()]
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def images(self) -> pa.Table:
        """One row per image: id, uri, label, predicted, probability, correct, …"""
        return read_table(self.folder / "images.parquet")

    @cached_property
    def skipped(self) -> pa.Table:
        """uri and reason of every file that could not be read."""
        return read_table(self.folder / "skipped.parquet")

    @cached_property
    def layers(self) -> Mapping[str, Mapping[str, Any]]:
        """name → record of every layer of the net, under all its names."""
        records = self.manifest["net"]["layers"]
        return {name: record for record in records for name in (record["name"], *record["aliases"])}

    @cached_property
    def followed(self) -> Mapping[str, tuple[int, int]]:
        """Layers whose units were followed → where their units start in the arrays of `strongest`, and how many."""
        found, start = {}, 0
        order = self.manifest["folds"]["strongest"]["units"]
        for record in self.manifest["net"]["layers"]:
            if record["name"] in order:
                found[record["name"]] = (start, order[record["name"]])
                start += order[record["name"]]
        return found

    def of_layer(self, layer: str, name: str) -> NDArray[Any]:
        """The part of an array over all units that belongs to a followed layer."""
        start, count = self.followed[layer]
        return self.array(name)[start : start + count]

    def array(self, name: str) -> NDArray[Any]:
        """An array of the atlas by name, mapped into memory."""
        return read_array(self.folder / f"{name}.npy")

    @property
    def code_names(self) -> tuple[str, ...]:
        """What there are codes of: those of the build, the one before the classifier first, then added ones."""
        added = [
            str(record.get("name"))
            for record, _ in all_kept(self.folder, ADDED)
            if self._added(record.get("name")) is not None
        ]
        return tuple(dict.fromkeys([*self.manifest["folds"]["codes"]["layers"], *added]))

    def _added(self, name: object) -> NDArray[np.float16] | None:
        """Codes that were added after the build; None where they are not whole."""
        found = find(self.folder, ADDED, {"name": name})
        codes = None if found is None else found[1].get("codes")
        return codes if codes is not None and codes.ndim == 2 and len(codes) == len(self.images) else None

    def codes(self, name: str) -> NDArray[np.float16]:
        """(N, D) codes by their name in the order of the images, mapped into memory."""
        kept: list[str] = self.manifest["folds"]["codes"]["layers"]
        if name in kept:
            return self.array(f"codes/{kept.index(name)}")
        found = self._added(name)
        if found is None:
            raise BadAtlas(f"the codes of {name} are missing or broken", "`convscope codes` adds them again")
        return found

    def packed(self, row: int) -> bytes:
        """An image as the network saw it, as the bytes of a lossless WebP file."""
        pack, offset, length = (int(self.images[name][row].as_py()) for name in ("pack", "offset", "length"))
        try:
            with (self.folder / "packs" / f"{pack:06d}").open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                stream.seek(min(max(offset, 0), size))
                content = stream.read(min(max(length, 0), size))
        except OSError as error:
            raise BadAtlas(f"the pictures of {self.folder} are missing: {error}", "copy the whole folder") from error
        if length < 0 or len(content) != length:
            raise BadAtlas(f"the pictures of {self.folder} are cut off", "copy the whole folder again")
        return content

    def pixels(self, row: int) -> NDArray[np.uint8]:
        """H×W×3, 0–255: an image as the network saw it."""
        try:
            with Image.open(io.BytesIO(self.packed(row)), formats=["WEBP"]) as picture:
                return np.asarray(picture.convert("RGB"))
        except (OSError, Image.DecompressionBombError) as error:
            raise BadAtlas(f"picture {row} of {self.folder} is broken", "copy the whole folder again") from error

    def original(self, row: int) -> Path | None:
        """The file that an image was read from, if it is still there with the same content."""
        path = Path(self.images["uri"][row].as_py()).expanduser()
        try:
            content = path.read_bytes() if path.is_file() else None
        except OSError:
            return None
        same = content is not None and hashlib.sha256(content).hexdigest() == self.images["content"][row].as_py()
        return path if same else None


def read_table(path: Path) -> pa.Table:
    """A Parquet file; BadAtlas if it is missing or broken."""
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise BadAtlas(f"{path} is missing or broken", "copy the whole folder, or build the atlas again") from error
