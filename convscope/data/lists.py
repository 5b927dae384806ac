"""Given paths, from a list or a table → image files in the given order."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from convscope.data.items import ImageFile, Skipped, text_of
from convscope.data.listing import Listing
from convscope.data.reasons import file_problem


class Entry(NamedTuple):
    """A path as the user wrote it (relative to the working folder), and its label."""

    written: str
    label: str | None = None


def list_entries(entries: Sequence[Entry], root: str | None = None) -> Listing:
    """The entries in their order; what is missing, no file, or listed twice is skipped.

    Names are relative to the root if all paths lie in it, else to the deepest folder that holds them all:
    so that ids stay the same when the whole is moved.
    """
    paths = [os.path.abspath(Path(entry.written).expanduser()) for entry in entries]  # noqa: PTH100 (keeps links)
    base = _base(paths, root)
    files: list[ImageFile] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for entry, path in zip(entries, paths, strict=True):
        uri = text_of(entry.written)
        problem = "listed twice" if path in seen else file_problem(Path(path))
        seen.add(path)
        if problem:
            skipped.append(Skipped(uri, problem))
        else:
            name = text_of(os.path.relpath(path, base))
            files.append(ImageFile(Path(entry.written).expanduser().absolute(), uri, name, entry.label))
    return Listing(tuple(files), tuple(skipped))


def _base(paths: Sequence[str], root: str | None) -> str:
    """The absolute folder that names are relative to."""
    if not paths:
        return os.sep
    common = os.path.commonpath({os.path.dirname(path) for path in paths})  # noqa: PTH120 (a million of them)
    if root is None:
        return common
    wanted = os.path.abspath(Path(root).expanduser())  # noqa: PTH100
    return wanted if os.path.commonpath([common, wanted]) == wanted else common
