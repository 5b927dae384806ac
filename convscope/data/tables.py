"""CSV and Parquet tables of paths and labels."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convscope.data.items import Skipped, text_of
from convscope.data.listing import Listing
from convscope.data.lists import Entry, list_entries
from convscope.errors import NoImages

PATH_COLUMNS = ("path", "uri", "file", "filename", "image")
LABEL_COLUMNS = ("label", "class", "target")
SUFFIXES = {".csv", ".tsv", ".parquet"}


def list_table(written: str) -> Listing:
    """The rows in their order; relative paths are relative to the table's folder; NoImages."""
    import pyarrow  # here, because it takes longer to import than a folder to list

    try:
        paths, labels = _columns(Path(written).expanduser(), text_of(written))
    except (pyarrow.ArrowException, UnicodeDecodeError, csv.Error, OSError) as error:
        message = str(error).splitlines()[0]
        raise NoImages(
            f"{text_of(written)} cannot be read: {message}",
            hint="a table is CSV in UTF-8 with a header line, or Parquet",
        ) from error
    folder = Path(written).parent
    entries, skipped = [], []
    for row, (path, label) in enumerate(zip(paths, labels, strict=True)):
        if path:
            entries.append(Entry(str(folder / Path(path).expanduser()), label_text(label)))
        else:
            skipped.append(Skipped(f"{text_of(written)}[{row}]", "no path in this row"))
    listing = list_entries(entries, str(folder))
    return replace(listing, skipped=(*skipped, *listing.skipped))


def label_text(label: Any) -> str | None:
    """A cell → text without blanks around it; 3.0 → 3, since gaps turn a column of integers into floats."""
    if isinstance(label, float):
        label = None if label != label else int(label) if label.is_integer() else label
    return None if label is None else str(label).strip() or None


def _columns(table: Path, written: str) -> tuple[Sequence[str | None], Sequence[Any]]:
    """The column of paths and that of labels (all None if there is none), as Python values."""
    import pyarrow.csv
    import pyarrow.parquet

    if table.suffix.lower() == ".parquet":
        names: list[str] = pyarrow.parquet.read_schema(table).names
    else:
        delimiter, names = _header(table)
    path_column, label_column = _column(names, PATH_COLUMNS), _column(names, LABEL_COLUMNS)
    if path_column is None:
        raise NoImages(
            f"{written} has no column 'path'; it has {', '.join(map(repr, names)) or 'no columns'}",
            hint=f"name the column of image files one of {', '.join(PATH_COLUMNS)}",
        )
    wanted = [path_column] if label_column is None else [path_column, label_column]
    if table.suffix.lower() == ".parquet":
        read = pyarrow.parquet.read_table(table, columns=wanted)
    else:
        # As text: else the label 007 would become 7. Only what is empty is missing: NA may be a class.
        options = pyarrow.csv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(wanted, pyarrow.string()),
            strings_can_be_null=True,
            null_values=[""],
        )
        parsing = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        read = pyarrow.csv.read_csv(table, parse_options=parsing, convert_options=options)
    paths = read.column(path_column).to_pylist()
    if not all(path is None or isinstance(path, str) for path in paths):
        raise NoImages(f"the column {path_column!r} of {written} holds no text", hint="give paths of files")
    return paths, [None] * len(paths) if label_column is None else read.column(label_column).to_pylist()


def _header(table: Path) -> tuple[str, list[str]]:
    """A CSV file's delimiter (of , ; and tab the most frequent in its first line) and its column names."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        delimiter = max((",", ";", "\t"), key=first.count)
        file.seek(0)
        return delimiter, next(csv.reader(file, delimiter=delimiter), [])


def _column(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """The name in the table that is, but for case and blanks, the first of the wanted ones that it has."""
    plain = {name.strip().lower(): name for name in reversed(list(names))}
    return next((plain[name] for name in wanted if name in plain), None)
