"""An atlas while it is being built: a folder of finished shards beside the key of the work they belong to."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from convscope.errors import AtlasInUse
from convscope.store.files import (
    Arrays,
    commit_folder,
    read_arrays,
    read_json,
    write_arrays,
    write_bytes,
    write_json,
)

FORMAT = 1  # of atlases and shards; another one is never mixed in
MANIFEST = "manifest.json"
OWN = {MANIFEST, "images.parquet", "skipped.parquet", "packs", "strongest", "unfinished"}  # all that an atlas holds


@dataclass(frozen=True, eq=False)
class Partial:
    """What one shard gave: a row per readable image, the skipped files, the packed pictures, the folds' states."""

    images: pa.Table
    skipped: pa.Table
    pack: bytes
    states: dict[str, Arrays]  # fold → its state


class Workspace:
    """The unfinished part of an atlas folder."""

    def __init__(self, atlas: Path, key: dict[str, str], overwrite: bool = False) -> None:
        self.atlas = atlas
        self.folder = atlas / "unfinished"
        if overwrite and is_atlas(atlas):
            empty(atlas)
        if atlas.exists() and not atlas.is_dir():
            raise AtlasInUse(f"{atlas} is a file", "give another --out")
        if atlas.is_dir() and any(atlas.iterdir()) and not is_atlas(atlas):
            raise AtlasInUse(f"{atlas} is a folder with other things in it", "give another --out, or an empty folder")
        self.done = (atlas / MANIFEST).exists()
        if self.done or (self.folder / "key.json").exists():
            before = read_json(atlas / MANIFEST)["key"] if self.done else read_json(self.folder / "key.json")
            changed = [name for name in sorted(before) if key.get(name) != before[name]]
            if changed:
                state = "a finished atlas" if self.done else "an unfinished atlas"
                raise AtlasInUse(
                    f"{atlas} holds {state} of other work: {', '.join(changed)} changed since",
                    "give another --out, or --overwrite to begin anew",
                )
        else:
            (self.folder / "shards").mkdir(parents=True, exist_ok=True)
            write_json(self.folder / "key.json", key)

    def finished(self) -> set[int]:
        """The indices of the shards that are there already."""
        return {int(path.name) for path in (self.folder / "shards").glob("[0-9]*")}

    def commit(self, index: int, partial: Partial) -> None:
        """Keeps a shard, whole or not at all."""
        shards = self.folder / "shards"
        temporary = shards / f".{index:06d}.part"
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir(parents=True)
        pq.write_table(partial.images, temporary / "images.parquet")
        pq.write_table(partial.skipped, temporary / "skipped.parquet")
        write_bytes(temporary / "pack", partial.pack)
        for fold, state in partial.states.items():
            write_arrays(temporary / "states" / fold, state)
        commit_folder(temporary, shards / f"{index:06d}")

    def partials(self, indices: Iterator[int] | range) -> Iterator[Partial]:
        """The shards in the order given; the packs stay on the disk (see pack_path)."""
        for index in indices:
            folder = self.folder / "shards" / f"{index:06d}"
            states = {path.name: read_arrays(path) for path in sorted((folder / "states").iterdir())}
            yield Partial(
                pq.read_table(folder / "images.parquet"),
                pq.read_table(folder / "skipped.parquet"),
                b"",
                dict(states),
            )

    def pack_path(self, index: int) -> Path:
        """Where a shard's packed pictures are."""
        return self.folder / "shards" / f"{index:06d}" / "pack"

    def close(self) -> None:
        """Removes what only an unfinished atlas needs."""
        shutil.rmtree(self.folder, ignore_errors=True)


def empty(atlas: Path) -> None:
    """Removes an atlas, and nothing that is not its own; AtlasInUse where there is more in its folder."""
    foreign = sorted({path.name for path in atlas.iterdir()} - OWN)
    if foreign:
        raise AtlasInUse(
            f"{atlas} holds an atlas and other things: {', '.join(foreign[:5])}", "move them, or give another --out"
        )
    for path in atlas.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def is_atlas(folder: Path) -> bool:
    """Whether a folder is an atlas, finished or not."""
    return (folder / MANIFEST).exists() or (folder / "unfinished" / "key.json").exists()
