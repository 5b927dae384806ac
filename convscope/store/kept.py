"""What studies compute once and keep in the atlas: arrays and a record, under the hash of what they are of."""

import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from convscope.errors import BadAtlas
from convscope.store.files import Arrays, commit_folder, read_array, read_json, write_arrays, write_json

RECORD = "record.json"
RACE = frozenset([errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY])  # errors of two that give a folder the same name


def place_of(folder: Path, kind: str, key: Mapping[str, Any]) -> Path:
    """The folder of one: ATLAS/kind/hash of the key, which says everything that it depends on."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return folder / kind / hashlib.sha256(text.encode()).hexdigest()[:16]


def find(folder: Path, kind: str, key: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The record and the arrays (mapped) of what was kept under this key; None where nothing whole is."""
    place = place_of(folder, kind, key)
    try:
        record = read_json(place / RECORD)
        arrays = {path.stem: read_array(path) for path in sorted(place.glob("*.npy"))}
    except (BadAtlas, OSError):
        return None
    return (record, arrays) if isinstance(record, dict) else None


def all_kept(folder: Path, kind: str) -> Iterator[tuple[dict[str, Any], Path]]:
    """The records of all that is kept of a kind, with their folders."""
    for path in sorted((folder / kind).glob(f"[!.]*/{RECORD}")):
        try:
            record = read_json(path)
        except (BadAtlas, OSError):
            continue
        if isinstance(record, dict):
            yield record, path.parent


def keep(folder: Path, kind: str, key: Mapping[str, Any], record: Mapping[str, Any], arrays: Arrays) -> str:
    """Keeps it, whole or not at all; "" or why it could not be kept (a full disk, an atlas that is only read)."""
    place = place_of(folder, kind, key)
    temporary = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.", suffix=".part"))
        write_arrays(temporary, arrays, safe=False)
        write_json(temporary / RECORD, {**record, "key": dict(key)})
        temporary.chmod(0o755)
        commit_folder(temporary, place)
    except OSError as error:
        if error.errno in RACE and find(folder, kind, key) is not None:
            return ""  # another process kept the same
        return error.strerror or str(error)
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
    return ""
