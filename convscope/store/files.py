"""Files that are whole or not there: a temporary name, fsync, rename."""

import errno
import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from convscope.errors import BadAtlas

Arrays = Mapping[str, NDArray[Any]]
FULL = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG])  # errors that say that no more can be written


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that a kill at any moment leaves the old one or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync(path.parent)


def write_json(path: Path, content: Any) -> None:
    """The same for JSON: sorted keys, so that the same content gives the same bytes."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """BadAtlas where the file is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadAtlas(f"{path} is missing", "build the atlas again") from error
    except ValueError as error:
        raise BadAtlas(f"{path} is not readable JSON: {error}", "build the atlas again") from error


def write_table(path: Path, table: pa.Table) -> None:
    """A Parquet file, whole or not at all."""
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream)
    write_bytes(path, stream.getvalue().to_pybytes())


def write_arrays(folder: Path, arrays: Arrays, safe: bool = True) -> None:
    """One .npy a name; "a/b" becomes a file in a sub-folder. Where not safe yet, commit_folder has to follow."""
    for name, array in arrays.items():
        write_rows(folder / f"{name}.npy", array.shape, array.dtype, [array], safe)


def write_rows(
    path: Path, shape: tuple[int, ...], kind: np.dtype[Any], parts: Iterable[NDArray[Any]], safe: bool = True
) -> None:
    """An array in one .npy file, written part after part along its first axis, so that it need not fit in memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    )
    with path.open("wb") as stream:  # by hand, since numpy's own writing hides that a disk is full
        stream.write(header.getvalue())
        for part in parts:
            stream.write(np.ascontiguousarray(part, kind).data)
        stream.flush()
        if safe:
            os.fsync(stream.fileno())


def read_array(path: Path, mapped: bool = True) -> NDArray[Any]:
    """An array, by default mapped into memory and not read whole; never unpickles. BadAtlas if broken."""
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadAtlas(f"{path} is missing or broken: {error}", "build the atlas again") from error
    return found


def read_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """All arrays under a folder by name, as write_arrays wrote them."""
    paths = sorted(folder.rglob("*.npy"))
    return {path.relative_to(folder).with_suffix("").as_posix(): read_array(path, mapped=False) for path in paths}


def commit_folder(temporary: Path, final: Path) -> None:
    """Gives a finished folder its name, in one step, once all that is in it is safe."""
    for inner in (*temporary.rglob("*"), temporary):
        sync(inner)
    if final.exists():
        shutil.rmtree(final)
    try:
        temporary.replace(final)
    except OSError:
        if not final.is_dir():
            raise
        shutil.rmtree(temporary)  # another process was first, with the same
    sync(final.parent)


def sync(path: Path) -> None:
    """Makes a file's content, or the names in a folder, safe against a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
