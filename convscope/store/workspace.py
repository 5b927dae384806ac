"""An atlas while it is being built: a folder of finished shards beside the key of the work they belong to."""

import errno
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from convscope.errors import AtlasInUse, DiskFull
from convscope.store.files import (
    FULL,
    Arrays,
    commit_folder,
    read_arrays,
    read_json,
    sync,
    write_arrays,
    write_bytes,
    write_json,
    write_table,
)

try:
    import fcntl

    locks: Any = fcntl
except ImportError:  # Windows has no such locks; two builds in one folder are then not told apart
    locks = None

FORMAT = 3  # of atlases and shards; another one is never mixed in
VERSION = "the format"  # its name in the key of the work
MANIFEST = "manifest.json"
HELD = frozenset([errno.EAGAIN, errno.EACCES])  # errors that say that another process has the lock
EMPTIED = {"work": "none: its atlas is being thrown away"}  # the key while an atlas is overwritten
LATER = {"layouts", "grids", "thumbnails", "added-codes"}  # what studies keep in an atlas
OWN = {
    MANIFEST,
    "images.parquet",
    "skipped.parquet",
    "packs",
    "unfinished",
    "strongest",
    "directions",
    "middle",
    "vitals",
    "places",
    "gradients",
    "classes",
    "codes",
    "filters",
    "maps",
}  # all that an atlas holds


@dataclass(frozen=True, eq=False)
class Partial:
    """What one shard gave: a row per readable image, the skipped files, the packed pictures, the folds' states."""

    images: pa.Table
    skipped: pa.Table
    pack: bytes
    states: Mapping[str, Arrays]  # fold → its state


class Workspace:
    """The unfinished part of an atlas folder."""

    def __init__(self, atlas: Path, key: Mapping[str, str], overwrite: bool = False) -> None:
        self.atlas = atlas
        self.folder = atlas / "unfinished"
        self.lock: IO[bytes] | None = None
        if atlas.exists() and not atlas.is_dir():
            raise AtlasInUse(f"{atlas} is a file", "give another --out")
        if atlas.is_dir() and any(atlas.iterdir()) and not is_atlas(atlas):
            raise AtlasInUse(f"{atlas} is a folder with other things in it", "give another --out, or an empty folder")
        try:
            self.done = self.begin(key, overwrite)
        except BaseException as error:
            self.release()  # else a caught error would keep the lock for as long as somebody looks at it
            if isinstance(error, OSError) and error.errno in FULL:
                raise DiskFull(f"the disk of {atlas} is full", "make room, then give the same command") from error
            raise

    def begin(self, key: Mapping[str, str], overwrite: bool) -> bool:
        """Takes the lock and notes the key, or compares it; whether the atlas is finished already."""
        manifest, note = self.atlas / MANIFEST, self.folder / "key.json"
        if overwrite and self.atlas.is_dir():
            refuse_other_things(self.atlas)
        if overwrite or not manifest.exists():
            (self.folder / "shards").mkdir(parents=True, exist_ok=True)
        if self.folder.is_dir():
            self.lock = locked(self.folder)
        if overwrite:
            empty(self.atlas, self.folder)
        done = manifest.exists()
        if done or (note.exists() and read_json(note) != EMPTIED):
            refuse_other_work(self.atlas, read_json(manifest if done else note), key, done)
        elif note.exists() and not overwrite:
            raise AtlasInUse(f"{self.atlas} was being overwritten, which has not ended", "--overwrite goes on with it")
        else:
            write_json(note, dict(key))
        return done

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
        write_table(temporary / "images.parquet", partial.images)
        write_table(temporary / "skipped.parquet", partial.skipped)
        write_bytes(temporary / "pack", partial.pack)
        for fold, state in partial.states.items():
            write_arrays(temporary / "states" / fold, state, safe=False)
        commit_folder(temporary, self.shard(index))

    def tables(self, index: int) -> tuple[pa.Table, pa.Table]:
        """The images and the skipped files of a shard."""
        folder = self.shard(index)
        return pq.read_table(folder / "images.parquet"), pq.read_table(folder / "skipped.parquet")

    def state(self, index: int, fold: str) -> dict[str, Any]:
        """What a fold learnt from a shard."""
        return read_arrays(self.shard(index) / "states" / fold)

    def shard(self, index: int) -> Path:
        """Where a finished shard is."""
        return self.folder / "shards" / f"{index:06d}"

    def merged(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """How many shards, from the first on, have been merged, and the folds' states after them."""
        counts = [int(path.name) for path in (self.folder / "merged").glob("[0-9]*")]
        if not counts:
            return 0, {}
        folder = self.folder / "merged" / f"{max(counts):06d}"
        return max(counts), {path.name: read_arrays(path) for path in sorted(folder.iterdir())}

    def keep_merged(self, count: int, states: Mapping[str, Arrays]) -> None:
        """Keeps the states after so many shards, and then throws away what they were merged from."""
        folder = self.folder / "merged"
        temporary = folder / f".{count:06d}.part"
        if temporary.exists():
            shutil.rmtree(temporary)
        for fold, state in states.items():
            write_arrays(temporary / fold, state, safe=False)
        commit_folder(temporary, folder / f"{count:06d}")
        sync(self.folder)
        for path in folder.iterdir():
            if path.name != f"{count:06d}":
                shutil.rmtree(path)
        for index in range(count):
            for fold in states:
                shutil.rmtree(self.shard(index) / "states" / fold, ignore_errors=True)

    def pack_path(self, index: int) -> Path:
        """Where a shard's packed pictures are."""
        return self.shard(index) / "pack"

    def close(self) -> None:
        """Removes what only an unfinished atlas needs."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Lets another build work here."""
        if self.lock is not None:
            self.lock.close()
            self.lock = None


def locked(folder: Path) -> IO[bytes] | None:
    """A lock that ends with this process, however it ends; AtlasInUse if another build holds it."""
    if locks is None:
        return None
    stream = (folder / "lock").open("ab")
    try:
        locks.flock(stream, locks.LOCK_EX | locks.LOCK_NB)
    except OSError as error:
        if error.errno not in HELD:  # a file system without locks; two builds in one folder are then not told apart
            return stream
        stream.close()
        raise AtlasInUse(
            f"another build is at work in {folder.parent}", "wait until it has ended, or give another --out"
        ) from error
    return stream


def refuse_other_work(atlas: Path, found: Any, key: Mapping[str, str], done: bool) -> None:
    """AtlasInUse unless what was noted of an atlas (its manifest, or its key) is of the same work."""
    state = "a finished atlas" if done else "an unfinished atlas"
    hint = "give another --out, or --overwrite to begin anew"
    before = found.get("key") if done and isinstance(found, dict) else found
    if not isinstance(before, dict) or before.get(VERSION) != key[VERSION]:
        version = before.get(VERSION, "unknown") if isinstance(before, dict) else "unknown"
        raise AtlasInUse(f"{atlas} holds {state} of the format {version}, this Convscope writes {key[VERSION]}", hint)
    changed = [name for name in sorted(before) if key.get(name) != before[name]]
    if changed:
        raise AtlasInUse(f"{atlas} holds {state} of other work: {', '.join(changed)} changed since", hint)


def refuse_other_things(atlas: Path) -> None:
    """AtlasInUse where there is more in a folder than an atlas has."""

    known = OWN | LATER

    def ours(name: str) -> bool:
        base = name[1:].removesuffix(".part") if name.startswith(".") and name.endswith(".part") else name
        return base in known or base.rpartition(".")[0] in known  # also parts of processes that were killed

    foreign = sorted(path.name for path in atlas.iterdir() if not ours(path.name))
    if foreign:
        raise AtlasInUse(
            f"{atlas} holds an atlas and other things: {', '.join(foreign[:5])}", "move them, or give another --out"
        )


def empty(atlas: Path, unfinished: Path) -> None:
    """Removes an atlas; a kill at any moment leaves a folder that is known as one, and never looks finished."""
    write_json(unfinished / "key.json", EMPTIED)
    (atlas / MANIFEST).unlink(missing_ok=True)
    kept = {unfinished, unfinished / "key.json", unfinished / "lock"}
    for path in (*atlas.iterdir(), *unfinished.iterdir()):
        if path not in kept:
            remove(path)
    (unfinished / "shards").mkdir()


def remove(path: Path) -> None:
    """Removes a folder with all that is in it, or a file, or a link but not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def is_atlas(folder: Path) -> bool:
    """Whether a folder is an atlas, finished or not, be it one that was killed before its first word."""
    unfinished = folder / "unfinished"
    if (folder / MANIFEST).exists() and (folder / "packs").is_dir():
        return True
    if (unfinished / "key.json").exists():
        return True
    begun = unfinished.is_dir() and {path.name for path in folder.iterdir()} == {"unfinished"}
    return begun and {path.name for path in unfinished.iterdir()} <= {"shards", "lock", ".key.json.part"}
