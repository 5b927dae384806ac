"""list_images of CSV and Parquet tables."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convscope.data.sources import Skipped, list_images
from tests.data.listed import FLOWER, labels, names, refusal, save, uris


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("header", ["path,label", "Label,PATH", "weight, File ,class,x", "filename,Target"])
def test_a_csv_table(photos: Path, delimiter: str, start: str, header: str) -> None:
    rows = [("b/two.png", "007"), ("a/one.png", "NA"), ("root.png", "")]
    columns = [name.strip().lower() for name in header.split(",")]
    lines = [header]
    for path, label in rows:
        known = dict.fromkeys(("path", "file", "filename"), path) | dict.fromkeys(("label", "class", "target"), label)
        lines.append(",".join(known.get(column, "1.5") for column in columns))
    (photos / "table.csv").write_text(start + "\n".join(lines).replace(",", delimiter), encoding="utf-8")
    listing = list_images("photos/table.csv")
    assert names(listing) == ["b/two.png", "a/one.png", "root.png"]
    assert uris(listing) == ["photos/b/two.png", "photos/a/one.png", "photos/root.png"]
    assert labels(listing) == ["007", "NA", None]


def test_a_csv_table_with_odd_cells(photos: Path) -> None:
    save(photos / 'komma, "quote"\nline.png')
    (photos / "table.CSV").write_text('path\n"komma, ""quote""\nline.png"\n"a/one.png"\n')
    listing = list_images("photos/table.CSV")
    assert names(listing) == ['komma, "quote"\nline.png', "a/one.png"]
    assert labels(listing) == [None, None]


def test_a_table_skips_what_is_missing(photos: Path) -> None:
    (photos / "table.csv").write_text("path,label\na/one.png,x\ngone.png,x\n,x\na/one.png,y\n")
    listing = list_images("photos/table.csv")
    assert names(listing) == ["a/one.png"]
    assert listing.skipped == (
        Skipped("photos/table.csv[2]", "no path in this row"),
        Skipped("photos/gone.png", "no such file"),
        Skipped("photos/a/one.png", "listed twice"),
    )


def test_a_table_elsewhere_with_absolute_paths(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "t.csv").write_text(f"path\n{photos}/a/one.png\n../photos/b/two.png\n")
    listing = list_images("tables/t.csv")
    assert names(listing) == ["a/one.png", "b/two.png"]
    assert uris(listing) == [f"{photos}/a/one.png", "tables/../photos/b/two.png"]
    assert np.array_equal(listing.files[1].read()[1], FLOWER)


def test_names_do_not_change_when_rows_are_added(photos: Path) -> None:
    for rows in ("a/one.png", "a/one.png\nb/two.png"):
        (photos / "table.csv").write_text(f"path\n{rows}\n")
        assert names(list_images("photos/table.csv"))[0] == "a/one.png"


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["x", None]), ["x", None]),
        (pa.array([7, 0]), ["7", "0"]),
        (pa.array([7.0, float("nan")]), ["7", None]),
        (pa.array([0.5, None]), ["0.5", None]),
        (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
    ],
)
def test_a_parquet_table(photos: Path, column: pa.Array, expected: list[str | None]) -> None:
    pq.write_table(pa.table({"Image": ["b/two.png", "a/one.png"], "label": column}), photos / "t.parquet")
    listing = list_images("photos/t.parquet")
    assert names(listing) == ["b/two.png", "a/one.png"]
    assert labels(listing) == expected


def test_tables_that_cannot_be_used(photos: Path) -> None:
    table = photos / "table.csv"
    table.write_text("name,label\na/one.png,x\n")
    assert refusal(table).problem == f"{table} has no column 'path'; it has 'name', 'label'"
    assert refusal(table).hint == "name the column of image files one of path, uri, file, filename, image"
    for content, words in [(b"path\n", "no images"), (b"\n", "no columns"), (b"", "empty")]:
        table.write_bytes(content)
        assert words in refusal(table).problem
    table.write_bytes(b"path,label\na/one.png,x,y,z\n")
    assert "cannot be read" in refusal(table).problem
    table.write_bytes(b"path,label\ncaf\xe9.png,x\n")
    assert "UTF-8" in refusal(table).hint
    table.write_bytes(b"p\xe9th,label\ncafe.png,x\n")
    assert "UTF-8" in refusal(table).hint
    (photos / "broken.parquet").write_bytes(b"PAR1 no")
    assert "cannot be read" in refusal(photos / "broken.parquet").problem
    pq.write_table(pa.table({"path": [1, 2]}), photos / "numbers.parquet")
    assert "holds no text" in refusal(photos / "numbers.parquet").problem
