"""list_images: whatever a user calls their images becomes one fixed order of files, or a clear error."""

import glob
import hashlib
import os
import re
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope.data.folders import fits
from convscope.data.sources import ImageFile, Skipped, list_images
from convscope.errors import NoImages, UnreadableImage
from tests.data.listed import CHINA, FLOWER, labels, names, refusal, save, uris


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
