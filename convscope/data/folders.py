"""Folders and glob patterns → image files; the first sub-folder is the label, as in an ImageFolder."""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from convscope.data.items import ImageFile, Skipped, text_of
from convscope.data.listing import Listing
from convscope.data.reasons import file_problem, reason

IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}


def list_folder(written: str, pattern: tuple[str, ...] = ("**",)) -> Listing:
    """All files below the folder that fit the pattern, sorted by name; written is as the user wrote it."""
    folder = Path(written)
    depth = None if "**" in pattern else len(pattern)
    files: list[ImageFile] = []
    skipped: list[Skipped] = []
    for relative, problem in _walk(folder.expanduser(), depth):
        if relative.parts and not fits(relative.parts, pattern):
            continue
        uri = text_of(folder / relative)
        if problem:
            skipped.append(Skipped(uri, problem))
        else:
            label = text_of(relative.parts[0]) if len(relative.parts) > 1 else None
            files.append(ImageFile(folder.expanduser().absolute() / relative, uri, text_of(relative), label))
    # The raw path decides between two names that differ only in bytes that are no UTF-8.
    files.sort(key=lambda file: (file.name, os.fsencode(file.path)))
    return Listing(tuple(files), tuple(sorted(skipped, key=lambda item: item.uri)))


def list_glob(written: str) -> Listing:
    """All files that fit, say, photos/**/*.jpg; names and labels are as if photos itself were listed."""
    folder, pattern = split_pattern(written)
    return list_folder(folder, pattern)


def is_pattern(written: str) -> bool:
    """Whether the text holds a glob's special characters."""
    return any(character in written for character in "*?[")


def split_pattern(written: str) -> tuple[str, tuple[str, ...]]:
    """photos/**/*.jpg → photos and (**, *.jpg): the folders without special characters, and the rest."""
    parts = Path(written).parts
    count = next(index for index, part in enumerate(parts) if is_pattern(part))
    return str(Path(*parts[:count])), parts[count:]


def fits(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a path's parts fit a pattern's, where ** stands for any folders (at the end: of parts)."""
    if not pattern or not parts:
        return not parts and not pattern
    if pattern[0] != "**":
        return fnmatchcase(parts[0], pattern[0]) and fits(parts[1:], pattern[1:])
    if len(pattern) == 1:
        return True
    return any(fits(parts[start:], pattern[1:]) for start in range(len(parts)))


def _walk(folder: Path, depth: int | None) -> Iterator[tuple[Path, str]]:
    """Each file's path below the folder, and why it cannot be read, or "". Each real folder is entered once.

    Folder links come last, so that a folder below keeps its own name, and so that no cycle is followed.
    """
    entered: set[tuple[int, int]] = set()
    folders, links = [Path()], list[Path]()
    while folders or links:
        if not folders:
            links.sort(reverse=True)
        relative = (folders or links).pop()
        try:
            status = (folder / relative).stat()
            entries = () if (status.st_dev, status.st_ino) in entered else _entries(folder / relative)
        except OSError as error:
            yield relative, reason(error)
            continue
        entered.add((status.st_dev, status.st_ino))
        for entry in entries:
            below = relative / entry.name
            try:
                is_folder, problem = entry.is_dir(), "" if entry.is_file() else file_problem(folder / below)
            except OSError as error:  # links in a circle
                is_folder, problem = False, reason(error)
            if not is_folder:
                yield below, problem
            elif depth is None or len(below.parts) < depth:
                (links if entry.is_symlink() else folders).append(below)


def _entries(folder: Path) -> tuple[os.DirEntry[str], ...]:
    """What is in the folder, without hidden files and the litter of file managers; OSError."""
    with os.scandir(folder) as entries:
        return tuple(entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in IGNORED)
