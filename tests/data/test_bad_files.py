"""A folder of everything that a disk may hold: one build over all of it, each file right or listed with its reason."""

import io
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
from numpy.typing import NDArray
from PIL import Image

import convscope
from convscope.data.decode import decode
from convscope.data.items import text_of
from convscope.data.reasons import NOT_AN_IMAGE, TRUNCATED
from convscope.errors import UnreadableImage
from tests.nets import small_classifier

SIZE = (24, 24)
PHOTO: NDArray[np.uint8] = skimage.data.astronaut()[40:104, 180:270]
GREY = PHOTO[:, :, 1]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tiff(values: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values)
    return file.getvalue()


def three(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([grey] * 3)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def with_alpha() -> Image.Image:
    return Image.fromarray(np.dstack([PHOTO, np.where(GREY > 99, 255, 0).astype(np.uint8)]))


def animated() -> bytes:
    frames = [Image.new("RGB", (30, 26), colour) for colour in ("red", "blue", "lime")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


def huge() -> bytes:
    """A PNG that says it has 900 million pixels, with hardly any data."""
    header = (30_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b""))
    parts = [len(d).to_bytes(4, "big") + name + d + zlib.crc32(name + d).to_bytes(4, "big") for name, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PALETTE = Image.fromarray(PHOTO).quantize(64)
# name → the file's bytes, its picture, and how far the decoded one may be from that, on the mean over its values
GOOD: dict[bytes, tuple[bytes, NDArray[np.uint8], float]] = {
    b"grey16.png": (saved(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"), three(GREY), 0),
    b"grey16.tif": (tiff(GREY.astype(np.uint16) * 257), three(GREY), 0),
    b"float.tif": (tiff((GREY / 255).astype(np.float32)), three(GREY), 0),
    b"ink.jpg": (saved(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95), PHOTO, 3),
    b"ink.tif": (saved(Image.fromarray(PHOTO).convert("CMYK"), "TIFF"), PHOTO, 1),
    b"palette.png": (saved(PALETTE, "PNG"), np.asarray(PALETTE.convert("RGB")), 0),
    b"alpha.png": (saved(with_alpha(), "PNG"), np.where(GREY[..., None] > 99, PHOTO, 255).astype(np.uint8), 0),
    b"animated.gif": (animated(), np.full((26, 30, 3), (255, 0, 0), np.uint8), 0),
    b"photo.avif": (saved(Image.fromarray(PHOTO), "AVIF", quality=90), PHOTO, 4),
    b"dot.png": (saved(Image.fromarray(noise(1, 1)), "PNG"), noise(1, 1), 0),
    b"strip.png": (saved(Image.fromarray(noise(3, 20_000)), "PNG"), noise(3, 20_000), 0),
    b"pole.png": (saved(Image.fromarray(noise(20_000, 3)), "PNG"), noise(20_000, 3), 0),
    b"two\nlines.png": (saved(Image.fromarray(noise(25, 31)), "PNG"), noise(25, 31), 0),
    b"caf\xe9 \xff.png": (saved(Image.fromarray(noise(26, 31)), "PNG"), noise(26, 31), 0),
    "🐈 cat.png".encode(): (saved(Image.fromarray(noise(27, 31)), "PNG"), noise(27, 31), 0),
    b"--overwrite.png": (saved(Image.fromarray(noise(28, 31)), "PNG"), noise(28, 31), 0),
    b"picture without suffix": (saved(Image.fromarray(noise(29, 31)), "PNG"), noise(29, 31), 0),
    b"a png in truth.jpg": (saved(Image.fromarray(noise(30, 31)), "PNG"), noise(30, 31), 0),
}
JPEG = saved(Image.fromarray(skimage.data.astronaut()), "JPEG", quality=90)
BAD: dict[bytes, tuple[bytes, str]] = {
    b"cut.jpg": (JPEG[: len(JPEG) // 2], TRUNCATED),
    b"cut at its end.jpg": (JPEG[:-99], TRUNCATED),
    b"cut.png": (GOOD[b"alpha.png"][0][:999], TRUNCATED),
    b"empty.jpg": (b"", "empty"),
    b"text.jpg": (b"hello, I am text\n" * 9, NOT_AN_IMAGE),
    b"notes.txt": (b"not even named like a picture", NOT_AN_IMAGE),
    b"bomb.png": (huge(), "too large: more than 89,478,485 pixels"),
    b"out of range.tif": (
        tiff(GREY.astype(np.float32) * 9),
        f"float values from {int(GREY.min()) * 9} to {int(GREY.max()) * 9}",
    ),
}
LOCKED, DANGLING = b"locked.png", b"dangling.png"


def path_of(folder: Path, name: bytes) -> Path:
    return folder / os.fsdecode(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, with a file that may not be read and a link to nowhere."""
    found = tmp_path_factory.mktemp("bad") / "photos"
    found.mkdir()
    for name, (data, *_) in (GOOD | BAD).items():
        path_of(found, name).write_bytes(data)
    path_of(found, LOCKED).write_bytes(GOOD[b"dot.png"][0])
    path_of(found, LOCKED).chmod(0)
    path_of(found, DANGLING).symlink_to("gone.png")
    return found


@pytest.fixture
def permissions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the locked file locked for root, too, who may read everything."""
    opened = Path.open

    def denied(path: Path, *arguments: object, **options: object) -> object:
        if path.name == os.fsdecode(LOCKED):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    if os.geteuid() == 0:
        monkeypatch.setattr(Path, "open", denied)


@pytest.mark.parametrize("name", GOOD)
def test_what_is_odd_is_read_right(name: bytes, folder: Path) -> None:
    _, expected, tolerance = GOOD[name]
    pixels = decode(path_of(folder, name))
    assert pixels.shape == expected.shape
    assert float(np.abs(pixels.astype(float) - expected).mean()) <= tolerance


@pytest.mark.parametrize("name", [*BAD, LOCKED, DANGLING])
@pytest.mark.usefixtures("permissions")
def test_what_is_bad_is_refused_with_its_reason(name: bytes, folder: Path) -> None:
    with pytest.raises(UnreadableImage) as caught:
        decode(path_of(folder, name))
    assert caught.value.problem == reason_of(name)


def reason_of(name: bytes) -> str:
    others = {LOCKED: "permission denied", DANGLING: "a dangling link"}
    return others[name] if name in others else BAD[name][1]


@pytest.mark.parametrize("full_decode", [False, True])
@pytest.mark.usefixtures("permissions")
def test_one_build_over_all_of_them(full_decode: bool, folder: Path, tmp_path: Path) -> None:
    net = convscope.Net(small_classifier(), size=SIZE, name="tiny")
    atlas = convscope.build(folder, net, tmp_path / "atlas", full_decode=full_decode)
    rows = {uri: row for row, uri in enumerate(atlas.images["uri"].to_pylist())}
    assert set(rows) == {text_of(path_of(folder, name)) for name in GOOD}
    for name, (_, expected, tolerance) in GOOD.items():
        row = rows[text_of(path_of(folder, name))]
        record = atlas.images.slice(row, 1).to_pylist()[0]
        assert (record["height"], record["width"]) == expected.shape[:2]
        crop, _ = net.preprocess.crop(expected)
        assert float(np.abs(atlas.pixels(row).astype(float) - crop).mean()) <= tolerance, name
        assert 0 <= record["probability"] <= 1
    reasons = {row["uri"]: row["reason"] for row in atlas.skipped.to_pylist()}
    assert reasons == {text_of(path_of(folder, name)): reason_of(name) for name in (*BAD, LOCKED, DANGLING)}
    for patch in atlas.exemplars("2:0", k=99):
        assert min(patch.cut()[0].shape[:2]) >= 1


def test_odd_names_one_by_one(folder: Path, tmp_path: Path) -> None:
    net = convscope.Net(small_classifier(), size=SIZE, name="tiny")
    names = [name for name in GOOD if not name[:1].isalpha() or not name.isascii() or b"\n" in name]
    assert len(names) == 4
    for number, name in enumerate(names):
        atlas = convscope.build([path_of(folder, name)], net, tmp_path / str(number))
        assert len(atlas.images) == 1
        assert np.array_equal(net.prepare(path_of(folder, name)).original, GOOD[name][1])
