"""Whatever the user calls their images → a listing: folder, glob, image, list, table, dataset."""

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from convscope.data.datasets import Dataset, DatasetItem, dataset_items
from convscope.data.decode import decode
from convscope.data.folders import is_pattern, list_folder, list_glob, split_pattern
from convscope.data.items import ImageFile, Skipped, image_id, text_of
from convscope.data.listing import Item, Listing, Shard
from convscope.data.lists import Entry, list_entries
from convscope.data.reasons import file_problem
from convscope.data.tables import SUFFIXES, list_table
from convscope.errors import NoImages, UnreadableImage

__all__ = [
    "DatasetItem",
    "ImageFile",
    "Item",
    "Listing",
    "Shard",
    "Skipped",
    "Source",
    "image_id",
    "list_images",
]

Source = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Dataset

KINDS = "give a folder, a glob such as 'photos/**/*.jpg', a list of paths, a CSV or Parquet table, or a dataset"


def list_images(images: Source) -> Listing:
    """All images of a folder, glob, single file, list, table or dataset, at least one; NoImages.

    Files are not opened: what is no image shows when it is read.
    """
    if isinstance(images, (str, os.PathLike)):
        written = os.fspath(images)
        listing = _list_path(written)
        what = text_of(written)
    else:
        listing = _list_many(images)
        what = f"the {type(images).__name__}"
    if listing.files:
        return listing
    if listing.skipped:
        first = listing.skipped[0]
        raise NoImages(
            f"none of the {len(listing.skipped)} files of {what} can be read",
            hint=f"the first of them, {first.uri}: {first.reason}",
        )
    raise NoImages(f"no images in {what}", hint=KINDS)


def _list_path(written: str) -> Listing:
    """A folder, a table, an image, or a pattern if there is no such file; NoImages."""
    path = Path(written).expanduser()
    problem = file_problem(path)
    if problem == "no such file" and is_pattern(written):
        folder = split_pattern(written)[0]
        if not Path(folder).expanduser().is_dir():
            raise NoImages(f"no folder {text_of(folder)}", hint=_near(Path(folder).expanduser()))
        return list_glob(written)
    if path.is_dir():
        return list_folder(written)
    if problem:
        raise NoImages(f"{text_of(written)}: {problem}", hint=_near(path) if problem == "no such file" else "")
    if path.suffix.lower() in SUFFIXES:
        return list_table(written)
    try:
        decode(path)
    except UnreadableImage as error:
        raise NoImages(f"{text_of(written)}: {error.problem}", hint=KINDS) from error
    return list_entries([Entry(written)])


def _list_many(images: Any) -> Listing:
    """A list of paths or a dataset; NoImages for what is neither."""
    usable: bool = isinstance(images, (Iterable, Dataset)) and not isinstance(images, (Mapping, bytes))
    if not usable:
        raise NoImages(f"an object of type {type(images).__name__} is no source of images", hint=KINDS)
    if getattr(getattr(images, "dtype", None), "kind", None) in {"O", "U"}:
        return _list_many(images.tolist())  # a column of a data frame, or an array of text
    if isinstance(images, Dataset) and not isinstance(images, (list, tuple)):
        return Listing(dataset_items(images))
    # A set's order changes from run to run.
    paths = sorted(images, key=str) if isinstance(images, (set, frozenset)) else list(images)
    for position, path in enumerate(paths):
        if not isinstance(path, (str, os.PathLike)):
            raise NoImages(
                f"item {position} of the list is of type {type(path).__name__}, not a path",
                hint="images that are in memory come as a dataset: an object with __len__ and __getitem__",
            )
    return list_entries([Entry(os.fspath(path)) for path in paths])


def _near(path: Path) -> str:
    """Names like that of the first part of the path that does not exist, as a hint; "" if there are none."""
    missing = next((part for part in (*reversed(path.parents), path) if not part.exists()), path)
    try:
        names = {name.lower(): name for name in islice(os.listdir(missing.parent), 5000)}  # noqa: PTH208 (lazy)
    except OSError:
        return ""
    matches = get_close_matches(missing.name.lower(), sorted(names), n=3)
    return (
        f"did you mean {' or '.join(repr(str(missing.parent / names[match])) for match in matches)}?" if matches else ""
    )
