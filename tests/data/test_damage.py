"""decode refuses what is no whole image with a reason, and leaves nothing behind."""

import io
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope.data.decode import decode, read_file
from convscope.data.reasons import NOT_AN_IMAGE, TRUNCATED, reason
from convscope.errors import UnreadableImage
from tests.data.pictures import ASTRONAUT, BYTES, refusal, saved


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "PPM"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_truncated_files(kind: str, part: float) -> None:
    data = saved(Image.fromarray(ASTRONAUT), kind)
    assert refusal(data[: int(len(data) * part)]) == TRUNCATED


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000"])
def test_truncated_files_of_other_kinds(kind: str) -> None:
    data = saved(Image.fromarray(ASTRONAUT), kind)
    assert refusal(data[: len(data) // 2])


@pytest.mark.parametrize("data", [b"hello, I am text\n" * 99, b"\0" * 3000, b"%PDF-1.4\n", b"PK\3\4" + b"x" * 99])
def test_what_is_no_image(data: bytes, tmp_path: Path) -> None:
    assert refusal(data) == NOT_AN_IMAGE
    (tmp_path / "photo.jpg").write_bytes(data)
    assert refusal(tmp_path / "photo.jpg") == NOT_AN_IMAGE


def test_postscript_is_not_run() -> None:
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    assert "PostScript" in refusal(drawing)


@settings(deadline=None)
@given(st.data())
def test_any_damage_gives_a_reason_or_a_picture(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(SMALL_FILES)))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(BYTES)
    try:
        assert decode(bytes(damaged)).shape[2] == 3
    except UnreadableImage as error:
        problem = error.problem
    else:
        problem = "none"
    assert problem
    assert "0x" not in problem


SMALL_FILES = [
    saved(Image.fromarray(ASTRONAUT[:6, :8]), kind)
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "PPM", "AVIF")
]


@pytest.mark.parametrize("filters", ["error", "ignore"])
@pytest.mark.parametrize("limit", [101, 210])  # less than half of 220 pixels: an error of Pillow's; more: a warning
def test_bombs_are_refused_whatever_the_warning_filters(
    filters: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(Image.new("RGB", (20, 11)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter(filters)  # type: ignore[arg-type]
        assert refusal(data) == f"too large: more than {limit} pixels"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 220)
    assert decode(data).shape == (11, 20, 3)


def test_a_bomb_is_refused_before_its_pixels_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.new("1", (30_000, 3_000)), "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda *_: pytest.fail("decoded"))
    assert refusal(data) == "too large: more than 89,478,485 pixels"


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    reasons = {
        "empty.jpg": "empty",
        "dangling.jpg": "a dangling link",
        "circle.jpg": "too many levels of symbolic links",
        "pipe.jpg": "not a regular file (a pipe, socket or device)",
        "gone.jpg": "no such file",
        "": "a folder, not a file",
        "empty.jpg/x": "not a directory",
        "a\0b": "not a path",
        "x" * 300: "file name too long",
    }
    assert {name: refusal(tmp_path / name) for name in reasons} == reasons
    assert refusal(b"") == "empty"


def test_reasons_are_the_same_in_every_run_and_place(tmp_path: Path) -> None:
    for name, data in {"a": SMALL_FILES[0][:99], "b": b"text", "c": b"", "d": SMALL_FILES[4][:60]}.items():
        reasons = set()
        for folder in ("one", "two"):
            path = tmp_path / folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            reasons.add(refusal(path))
        assert len(reasons) == 1
        assert str(tmp_path) not in reasons.pop()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ValueError("odd <_io.BytesIO object at 0x7f0b855350d0> in /tmp/x/y.png"),
            "broken or cut off: odd … in …",
        ),
        (ValueError("at 0x7f0b855350d0"), "broken or cut off: at …"),
        (ValueError(), "broken or cut off: ValueError"),
        (ValueError("Reached EOF while reading header"), TRUNCATED),
        (PermissionError(13, "Permission denied", "/tmp/x"), "permission denied"),
        (OSError("x" * 999), "broken or cut off: " + "x" * 200),
    ],
)
def test_reasons_hold_no_path_and_no_address(error: Exception, words: str) -> None:
    assert reason(error) == words


def test_the_hint_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage) as caught:
        decode("photos/cat.jpg")
    assert str(caught.value) == "no such file\n\nhint: the file is 'photos/cat.jpg'"


def test_an_image_without_pixels_and_a_closed_one() -> None:
    assert refusal(Image.new("RGB", (0, 5))) == "no pixels"
    closed = Image.open(io.BytesIO(SMALL_FILES[0]))
    closed.close()
    assert refusal(closed)


def test_read_file_gives_the_hash_of_its_bytes(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "a.png"
    path.write_bytes(saved(Image.fromarray(ASTRONAUT), "PNG"))
    content, pixels = read_file(path)
    assert content == hashlib.sha256(path.read_bytes()).hexdigest()
    assert np.array_equal(pixels, ASTRONAUT)


def test_no_file_stays_open_also_in_threads(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(SMALL_FILES[1])
    (tmp_path / "bad.png").write_bytes(SMALL_FILES[1][:60])
    (tmp_path / "text.png").write_text("text")

    def attempt(number: int) -> str:
        try:
            return str(decode(tmp_path / ("good.png", "bad.png", "text.png")[number % 3]).shape)
        except UnreadableImage as error:
            return error.problem

    before = len(list(Path("/proc/self/fd").iterdir()))
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, range(300)))
    assert results == ["(6, 8, 3)", TRUNCATED, NOT_AN_IMAGE] * 100
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert warnings.filters == filters


def test_torch_is_not_imported() -> None:
    import subprocess

    program = "import sys, convscope.data.sources; print([m for m in ('torch', 'pyarrow') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
