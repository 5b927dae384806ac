"""list_images: whatever a user calls their images becomes one fixed order of files, or a clear error."""

import dataclasses
import glob
import hashlib
import os
import pickle
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from torch.utils.data import Subset, TensorDataset
from torchvision.datasets import ImageFolder

from convscope.data.folders import fits
from convscope.data.reasons import TRUNCATED
from convscope.data.sources import ImageFile, Listing, Skipped, image_id, list_images
from convscope.errors import BadOption, NoImages, UnreadableImage

CHINA, FLOWER = (image[::8, ::8].copy() for image in load_sample_images().images)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five photos in two labelled folders and the root, one of them two folders deep, and a text."""
    monkeypatch.chdir(tmp_path)
    for name in ("b/two.png", "a/one.png", "a/deep/three.png", "a/B.png", "root.png"):
        save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "a" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def save(path: Path, pixels: np.ndarray = FLOWER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def names(listing: Listing) -> list[str]:
    return [file.name for file in listing.files]


def uris(listing: Listing) -> list[str]:
    return [file.uri for file in listing.files]


def labels(listing: Listing) -> list[str | None]:
    return [file.label for file in listing.files]


def refusal(images: Any) -> NoImages:
    with pytest.raises(NoImages) as caught:
        list_images(images)
    return caught.value


# --- folders ----------------------------------------------------------------------------------------------


def test_a_folder(photos: Path) -> None:
    listing = list_images("photos")
    assert names(listing) == [
        "a/B.png", "a/deep/three.png", "a/notes.txt", "a/one.png", "b/two.png", "root.png",
    ]  # fmt: skip
    assert labels(listing) == ["a", "a", "a", "a", "b", None]
    assert uris(listing) == ["photos/" + name for name in names(listing)]
    assert listing.skipped == ()
    assert all(file.path.is_absolute() and file.path.exists() for file in listing.files)
    assert list_images(photos).files[0].uri == f"{photos}/a/B.png"
    assert names(list_images("photos/")) == names(list_images(photos)) == names(listing)


def test_home_is_expanded_but_stays_in_the_uri(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(photos.parent))
    file = list_images("~/photos").files[0]
    assert (file.uri, file.path) == ("~/photos/a/B.png", photos / "a" / "B.png")
    assert uris(list_images("~/photos/*.png")) == ["~/photos/root.png"]


def test_a_file_reads_itself(photos: Path) -> None:
    good, text = (list_images("photos").files[position] for position in (0, 2))
    content, pixels = good.read()
    assert content == hashlib.sha256((photos / "a" / "B.png").read_bytes()).hexdigest()
    assert np.array_equal(pixels, FLOWER)
    with pytest.raises(UnreadableImage, match="not an image"):
        text.read()


def test_hidden_files_and_litter_are_ignored(photos: Path) -> None:
    before = list_images("photos")
    for name in (
        ".hidden.png",
        ".git/x.png",
        "a/Thumbs.db",
        "desktop.ini",
        "__MACOSX/a/one.png",
        "a/.DS_Store",
    ):
        save(photos / "root.png")
        (photos / name).parent.mkdir(exist_ok=True, parents=True)
        (photos / name).write_bytes((photos / "root.png").read_bytes())
    assert names(list_images("photos")) == names(before)


def test_what_is_no_regular_file_is_skipped_and_never_waited_for(photos: Path) -> None:
    os.mkfifo(photos / "pipe.png")
    (photos / "dangling.png").symlink_to("gone.png")
    (photos / "circle.png").symlink_to("circle.png")
    (photos / "link.png").symlink_to("root.png")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("photos/socket.png")
        listing = list_images("photos")
    assert listing.skipped == (
        Skipped("photos/circle.png", "too many levels of symbolic links"),
        Skipped("photos/dangling.png", "a dangling link"),
        Skipped("photos/pipe.png", "not a regular file (a pipe, socket or device)"),
        Skipped("photos/socket.png", "not a regular file (a pipe, socket or device)"),
    )
    assert names(listing)[-2:] == ["link.png", "root.png"]


def test_folder_links_are_followed_and_cycles_are_not(photos: Path) -> None:
    before = names(list_images("photos"))
    (photos / "a" / "up").symlink_to("..")
    (photos / "a" / "self").symlink_to(".")
    (photos / "again").symlink_to("b")
    assert names(list_images("photos")) == before
    save(photos.parent / "elsewhere" / "four.png")
    (photos.parent / "elsewhere" / "back").symlink_to(photos)
    (photos / "c").symlink_to("../elsewhere")
    listing = list_images("photos")
    assert names(listing) == sorted([*before, "c/four.png"])
    assert listing.files[names(listing).index("c/four.png")].label == "c"
    (photos / "first").symlink_to(photos.parent)  # holds photos and elsewhere once more
    assert names(list_images("photos")) == names(listing)


def test_odd_names(photos: Path) -> None:
    odd = [
        "ein Bild.png",
        "zeile\nzwei.png",
        "日本.png",
        "[1].png",
        "a;b,c'\".png",
        "-x.png",
        "back\\slash.png",
    ]
    for name in odd:
        save(photos / "odd" / name)
    raw = os.fsdecode(b"caf\xe9.png")
    (photos / "odd" / raw).write_bytes((photos / "root.png").read_bytes())
    listing = list_images("photos/odd")
    assert sorted(names(listing)) == names(listing)
    assert set(names(listing)) == {*odd, "caf\\xe9.png"}
    assert all(file.uri == f"photos/odd/{file.name}" for file in listing.files)
    for file in listing.files:
        (file.uri + file.name).encode("utf-8")
        assert np.array_equal(file.read()[1], FLOWER)
    assert listing.fingerprint()


@pytest.mark.parametrize("odd", ["photos [1]", "ph*tos", "photos?"])
def test_a_folder_named_like_a_pattern(photos: Path, odd: str) -> None:
    photos.rename(photos.parent / odd)
    assert len(list_images(odd).files) == 6


def test_case_and_code_points_decide_the_order(tmp_path: Path) -> None:
    for name in ("é.png", "z.png", "Z.png", "a/x.png", "a.png", "a-b.png", "10.png", "9.png"):
        save(tmp_path / name)
    expected = ["10.png", "9.png", "Z.png", "a-b.png", "a.png", "a/x.png", "z.png", "é.png"]
    assert names(list_images(tmp_path)) == expected


def test_a_folder_that_is_missing_or_empty(photos: Path) -> None:
    assert refusal("photo").problem == "photo: no such file"
    assert "photos" in refusal("photo").hint
    assert "did you mean" in refusal("PHOTOS/a").hint
    assert "photos" in refusal("phtos/a/b/c").hint
    assert refusal("nothing like it at all").hint == ""
    (photos / "empty").mkdir()
    assert refusal("photos/empty").problem == "no images in photos/empty"
    (photos / "empty" / "x.png").symlink_to("gone")
    assert str(refusal("photos/empty")) == (
        "none of the 1 files of photos/empty can be read\n\n"
        "hint: the first of them, photos/empty/x.png: a dangling link"
    )


def test_moving_a_folder_keeps_names(photos: Path) -> None:
    before = names(list_images("photos"))
    photos.rename(photos.parent / "moved")
    assert names(list_images(photos.parent / "moved")) == before


# --- globs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/**/*.png", ["a/B.png", "a/deep/three.png", "a/one.png", "b/two.png", "root.png"]),
        ("photos/*.png", ["root.png"]),
        ("photos/*/*.png", ["a/B.png", "a/one.png", "b/two.png"]),
        ("photos/**", ["a/B.png", "a/deep/three.png", "a/notes.txt", "a/one.png", "b/two.png", "root.png"]),
        ("photos/[ab]/???.png", ["a/one.png", "b/two.png"]),
        ("photos/**/deep/*", ["a/deep/three.png"]),
        ("photos/a/*.png", ["B.png", "one.png"]),
        ("./photos/*.png", ["root.png"]),
    ],
)
def test_a_glob(photos: Path, pattern: str, expected: list[str]) -> None:
    listing = list_images(pattern)
    assert names(listing) == expected
    found = {Path(path).absolute() for path in glob.glob(pattern, recursive=True)}  # noqa: PTH207 (the reference)
    assert {file.path for file in listing.files} == {path for path in found if path.is_file()}


def test_a_glob_has_the_folders_labels_and_uris(photos: Path) -> None:
    listing = list_images("photos/**/*.png")
    assert set(listing.files) == {file for file in list_images("photos").files if file.name.endswith("png")}
    assert labels(listing) == ["a", "a", "a", "b", None]


def test_a_glob_skips_what_fits_and_cannot_be_read(photos: Path) -> None:
    (photos / "dangling.png").symlink_to("gone.png")
    (photos / "dangling.gif").symlink_to("gone.gif")
    assert list_images("photos/*.png").skipped == (Skipped("photos/dangling.png", "a dangling link"),)


def test_a_glob_without_match(photos: Path) -> None:
    assert refusal("photos/*.jpg").problem == "no images in photos/*.jpg"
    assert refusal("phtos/*.png").problem == "no folder phtos"
    assert "photos" in refusal("phtos/*.png").hint


@settings(deadline=None)
@given(st.lists(st.sampled_from("ab"), max_size=5).map(tuple), st.lists(st.sampled_from("ab*"), max_size=4))
def test_two_stars_stand_for_any_folders(parts: tuple[str, ...], rest: list[str]) -> None:
    pattern = tuple("**" if part == "*" else part for part in rest)
    text = "".join("(./)*" if part == "**" else f"{part}/" for part in pattern)
    if pattern[-1:] == ("**",):
        text = text.removesuffix("(./)*") + "(./)+"
    assert fits(parts, pattern) == bool(re.fullmatch(text, "".join(part + "/" for part in parts)))


# --- one image, lists -------------------------------------------------------------------------------------


def test_a_single_image(photos: Path) -> None:
    listing = list_images("photos/a/one.png")
    assert listing.files == (ImageFile(photos / "a" / "one.png", "photos/a/one.png", "one.png", None),)


def test_a_single_file_that_is_no_image(photos: Path) -> None:
    assert refusal("photos/a/notes.txt").problem == "photos/a/notes.txt: not an image that can be read (jpeg, png, …)"
    os.mkfifo(photos / "pipe.png")
    assert "not a regular file" in refusal("photos/pipe.png").problem


def test_a_list_keeps_its_order(photos: Path) -> None:
    given_paths = ["photos/b/two.png", photos / "a" / "one.png", "photos/a/B.png"]
    for source in (given_paths, tuple(given_paths), iter(given_paths), dict.fromkeys(given_paths).keys()):
        listing = list_images(source)
        assert names(listing) == ["b/two.png", "a/one.png", "a/B.png"]
        assert uris(listing) == ["photos/b/two.png", f"{photos}/a/one.png", "photos/a/B.png"]
        assert labels(listing) == [None] * 3
        assert np.array_equal(listing.files[1].read()[1], FLOWER)


def test_a_set_has_an_order_too(photos: Path) -> None:
    assert names(list_images({"photos/b/two.png", "photos/a/one.png"})) == ["a/one.png", "b/two.png"]


def test_an_array_of_paths(photos: Path) -> None:
    assert names(list_images(np.array(["photos/b/two.png", "photos/root.png"]))) == ["b/two.png", "root.png"]


def test_a_list_skips_what_is_missing(photos: Path) -> None:
    listing = list_images(["photos/a/one.png", "photos/gone.png", "photos/a", "photos/a/../a/one.png"])
    assert listing.skipped == (
        Skipped("photos/gone.png", "no such file"),
        Skipped("photos/a", "a folder, not a file"),
        Skipped("photos/a/../a/one.png", "listed twice"),
    )
    assert len(listing.files) == 1


def test_sources_that_are_none(photos: Path) -> None:
    assert refusal([]).problem == "no images in the list"
    assert refusal(["gone.png"]).problem == "none of the 1 files of the list can be read"
    assert "item 1 of the list is of type ndarray" in refusal(["photos/root.png", CHINA]).problem
    for mapping_or_bytes in ({"a": "b"}, b"photos"):
        assert f"type {type(mapping_or_bytes).__name__}" in refusal(mapping_or_bytes).problem
    for odd in (7, None, Image.fromarray(CHINA)):  # with beartype on, it is that which refuses them
        with pytest.raises((NoImages, TypeError), match=r"is no source of images|Type-check"):
            list_images(odd)  # type: ignore[arg-type]


# --- tables -----------------------------------------------------------------------------------------------


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


# --- datasets ---------------------------------------------------------------------------------------------


class Pairs:
    """A dataset of given items that counts how often it is asked."""

    def __init__(self, items: list[Any]) -> None:
        self.items, self.asked = items, 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        self.asked += 1
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


def test_a_dataset_of_every_kind_of_image() -> None:
    chw = np.moveaxis(FLOWER, 2, 0)
    items = [
        (Image.fromarray(FLOWER), 0),
        (FLOWER, "lily"),
        (torch.from_numpy(chw / np.float32(255)), torch.tensor(2)),
        (torch.from_numpy(chw.copy()), np.int64(3)),
        (chw / 255, None),
        (torch.from_numpy(chw / 255), 4),
        FLOWER,
        Image.fromarray(FLOWER),
        (FLOWER,),
    ]
    listing = list_images(Pairs(items))
    assert uris(listing)[:2] == ["dataset[0]", "dataset[1]"]
    assert names(listing) == [str(index) for index in range(len(items))]
    contents = set()
    for file in listing.files:
        content, pixels = file.read()
        contents.add(content)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, FLOWER)
    assert len(contents) == 1
    assert labels(listing) == ["0", "lily", "2", "3", None, "4", None, None, None]


def test_grey_alpha_and_half_precision() -> None:
    grey = FLOWER[:, :, 0]
    opaque = np.dstack([FLOWER, np.full_like(grey, 255)])
    items = [
        grey,
        grey[:, :, None],
        grey[None].astype(np.float32) / 255,
        torch.from_numpy(grey[None] / 255.0),
    ]
    listing = list_images(Pairs(items))
    assert all(np.array_equal(file.read()[1], np.dstack([grey] * 3)) for file in listing.files)
    assert np.array_equal(list_images(Pairs([opaque])).files[0].read()[1], FLOWER)
    rough = list_images(Pairs([torch.from_numpy(np.moveaxis(FLOWER, 2, 0) / 255.0).bfloat16()])).files[0].read()[1]
    assert np.abs(rough.astype(int) - FLOWER).max() <= 1


@pytest.mark.parametrize("shape", [(3, 5, 3), (4, 2, 3), (3, 3, 3)])
def test_bytes_are_rows_first_and_floats_channels_first(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(list_images(Pairs([pixels])).files[0].read()[1], pixels)
    if shape[0] == 3:
        expected = np.moveaxis(pixels, 0, 2)
        assert np.array_equal(list_images(Pairs([pixels / 255])).files[0].read()[1], expected)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (np.full((3, 4, 4), -0.01), "float values from -0.01 to -0.01, not 0 to 1"),
        (np.full((3, 4, 4), np.nan), "float values that are not finite"),
        (np.full((4, 4, 3), 7), "values of type int64"),
        (np.zeros((4, 4), bool), "values of type bool"),
        (np.zeros((7, 4, 5), np.uint8), "the shape (7, 4, 5) is not that of an image"),
        (np.zeros((2, 3, 4, 4), np.uint8), "the shape (2, 3, 4, 4) is not that of an image"),
        (np.zeros((0, 4, 3), np.uint8), "the shape (0, 4, 3) is not that of an image"),
        ({"image": FLOWER}, "of type dict, not an image"),
        (OSError("image file is truncated (3 bytes not processed)"), TRUNCATED),
        (FileNotFoundError(2, "No such file", "/tmp/x"), "no such file or directory"),
    ],
)  # fmt: skip
def test_items_that_cannot_be_read(item: Any, reason: str) -> None:
    file = list_images(Pairs([item])).files[0]
    with pytest.raises(UnreadableImage) as caught:
        file.read()
    assert caught.value.problem == reason
    assert file.label is None


def test_a_bug_in_the_dataset_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        list_images(Pairs([KeyError("bug")])).files[0].read()


def test_what_rounds_to_a_byte_is_accepted() -> None:
    edge = np.array([-0.4, 255.4, 254.6, 0.4]).reshape(1, 2, 2) / 255
    assert list_images(Pairs([edge])).files[0].read()[1][:, :, 0].tolist() == [[0, 255], [255, 0]]


def test_an_item_is_read_once_for_picture_and_label() -> None:
    dataset = Pairs([(FLOWER, 5)])
    file = list_images(dataset).files[0]
    assert dataset.asked == 0
    file.read()
    assert (file.label, file.label, dataset.asked) == ("5", "5", 1)
    assert list_images(dataset).files[0].label == "5"


def test_arrays_and_tensors_are_datasets() -> None:
    digits = load_digits()
    images = (digits.images[:5] * 15).astype(np.uint8)
    listing = list_images(images)
    assert np.array_equal(listing.files[3].read()[1][:, :, 1], images[3])
    tensors = TensorDataset(torch.from_numpy(images[:, None] / 255.0), torch.from_numpy(digits.target[:5]))
    assert labels(list_images(tensors)) == ["0", "1", "2", "3", "4"]
    assert np.array_equal(list_images(tensors).files[3].read()[1][:, :, 1], images[3])


def test_torchvision_datasets(photos: Path) -> None:
    (photos / "root.png").unlink()
    dataset = ImageFolder(str(photos))
    listing = list_images(dataset)
    assert labels(listing) == ["a", "a", "a", "b"]
    assert np.array_equal(listing.files[0].read()[1], FLOWER)
    subset = Subset(Subset(dataset, [3, 1, 0]), [0, 2])
    assert labels(list_images(subset)) == ["b", "a"]
    renamed = ImageFolder(str(photos), target_transform=lambda label: 1 - label)
    assert labels(list_images(renamed)) == ["b", "b", "b", "a"]


def test_the_labels_of_a_dataset_are_not_read_from_its_items() -> None:
    dataset = Pairs([(FLOWER, 1), (FLOWER, 0)])
    dataset.targets, dataset.classes = torch.tensor([1, 0]), [("cat", "tabby"), "dog"]  # type: ignore[attr-defined]
    assert labels(list_images(dataset)) == ["dog", "cat, tabby"]
    assert dataset.asked == 0
    dataset.targets = [1]  # type: ignore[attr-defined]
    assert labels(list_images(dataset)) == ["dog", "cat, tabby"]
    assert dataset.asked == 2


def test_an_empty_dataset() -> None:
    assert refusal(Pairs([])).problem == "no images in the Pairs"


# --- listings ---------------------------------------------------------------------------------------------


def listing_of(count: int) -> Listing:
    files = tuple(ImageFile(Path(f"/gone/{index}"), f"{index}", f"{index}", None) for index in range(count))
    return Listing(files, (Skipped("x", "y"),))


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 70))
def test_shards_partition_the_listing(count: int, size: int) -> None:
    listing = listing_of(count)
    shards = listing.shards(size)
    assert tuple(file for shard in shards for file in shard.files) == listing.files
    assert all(shard.files[0] == listing.files[shard.first_row] for shard in shards)
    assert all(len(shard.files) == size for shard in shards[:-1])
    assert all(0 < len(shard.files) <= size for shard in shards)
    assert [shard.index for shard in shards] == list(range(len(shards)))


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 250), st.integers(0, 2**32))
def test_a_limited_listing_is_a_sorted_sample(count: int, limit: int, seed: int) -> None:
    listing = listing_of(count)
    limited = listing.limited(limit, seed)
    positions = [int(file.name) for file in limited.files]
    assert positions == sorted(set(positions))
    assert len(positions) == min(limit, count)
    assert set(limited.files) <= set(listing.files)
    assert limited == listing.limited(limit, seed)
    assert limited.skipped == listing.skipped
    assert (limited is listing) == (limit >= count)


def test_the_seed_decides_and_every_file_has_its_chance() -> None:
    listing = listing_of(100)
    samples = [listing.limited(10, seed).files for seed in range(80)]
    assert len(set(samples)) == 80
    assert {file for sample in samples for file in sample} == set(listing.files)
    assert listing.limited(None, 0) is listing
    # Pinned, since resumed builds rely on it.
    assert [file.name for file in listing.limited(5, 0).files] == ["5", "33", "49", "53", "97"]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(BadOption, match=f"limit is {limit}"):
        listing_of(3).limited(limit, 0)
    with pytest.raises(BadOption):
        listing_of(3).shards(limit)


def changes(photos: Path) -> Iterator[str]:
    target = photos / "a" / "one.png"
    yield "nothing"
    target.write_bytes(target.read_bytes() + b" ")
    yield "a size"
    os.utime(target, ns=(1, 1))
    yield "a time"
    target.rename(photos / "a" / "renamed.png")
    yield "a name"
    (photos / "a").rename(photos / "z")
    yield "a label"
    (photos / "z" / "renamed.png").unlink()
    yield "a file less"


def test_a_fingerprint_tells_every_change(photos: Path) -> None:
    seen = [list_images("photos").fingerprint()]
    assert len(seen[0]) == 64
    for change in changes(photos):
        now = list_images("photos").fingerprint()
        assert (now == seen[-1]) == (change == "nothing"), change
        seen.append(now)
    listing = list_images("photos")
    photos.rename(photos.parent / "moved")
    assert list_images("moved").fingerprint() == seen[-1]
    assert listing.fingerprint() != seen[-1]  # its files are missing now
    assert listing_of(3).fingerprint() == listing_of(3).fingerprint() != listing_of(4).fingerprint()


def test_a_fingerprint_tells_labels_apart() -> None:
    file = listing_of(1).files[0]
    assert isinstance(file, ImageFile)
    prints = {
        Listing((dataclasses.replace(file, name=name, label=label),)).fingerprint()
        for name, label in [("a", None), ("a", "b"), ("ab", None), ("a", "None"), ('a", "b', None)]
    }
    assert len(prints) == 5


def test_a_fingerprint_of_a_dataset_looks_at_some_items() -> None:
    def fingerprint(images: np.ndarray) -> str:
        return list_images(Pairs([(image, 0) for image in images])).fingerprint()

    images = np.random.default_rng(0).integers(0, 256, (100, 4, 4, 3), dtype=np.uint8)
    assert fingerprint(images) == fingerprint(images)
    assert len({fingerprint(images), fingerprint(255 - images), fingerprint(images[:99])}) == 3
    dataset = Pairs([(image, 0) for image in images])
    list_images(dataset).fingerprint()
    assert dataset.asked <= 16


def test_image_ids() -> None:
    expected = hashlib.sha256(b"content\0name").hexdigest()[:16]
    assert image_id("content", "name") == expected
    assert len({image_id("ab", "c"), image_id("a", "bc"), image_id("a", "b"), image_id("b", "a")}) == 4
    assert len(image_id("a", "日本")) == 16


def test_shards_travel_between_processes(photos: Path) -> None:
    for source in ("photos", Pairs([(FLOWER, 5), (CHINA, 6)])):
        shard = list_images(source).shards(1)[0]
        copy = pickle.loads(pickle.dumps(shard))
        assert copy.files[0].read()[0] == shard.files[0].read()[0]
        assert copy.files[0].label == shard.files[0].label
