"""Large JPEGs in a smaller size: only where enough remains, hardly other pixels, and the same places in the original."""

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from convscope.data.decode import SHRINKS, decode, read_picture
from convscope.data.items import ImageFile
from convscope.data.picture import Picture
from convscope.data.reasons import TRUNCATED
from convscope.data.sources import list_images
from convscope.errors import UnreadableImage
from convscope.models.preprocess import HARD, Preprocess
from convscope.passes.reading import read_crop
from tests.photos import PHOTOS, jpeg, turned

SMALL = Preprocess((28, 28), resize=32)


def enlarged(photo: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.LANCZOS))


def small(path: Path, preprocess: Preprocess = SMALL) -> Picture:
    return read_picture(path, preprocess.least)[1]


def crops(path: Path, preprocess: Preprocess) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The net's input from the smaller size and from the full one, at the same place."""
    file = ImageFile(path, "a", "a", None)
    (_, one, here), (_, other, there) = (read_crop(file, preprocess, full) for full in (False, True))
    assert here == there == preprocess.place(*decode(path).shape[:2])
    return one.astype(np.float64), other.astype(np.float64)


def difference(path: Path, preprocess: Preprocess) -> float:
    one, other = crops(path, preprocess)
    return float(np.abs(one - other).mean())


# --- sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "shrink"),
    [
        (127, 300, 1), (128, 128, 2), (128, 4000, 2), (255, 300, 2), (256, 300, 4), (511, 600, 4), (512, 512, 8),
        (3000, 512, 8), (3000, 63, 1), (20_000, 3, 1),
    ],
)  # fmt: skip
def test_only_where_twice_the_size_remains(height: int, width: int, shrink: int, tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", np.zeros((height, width, 3), np.uint8))
    picture = small(path)
    assert (picture.height, picture.width) == (height, width)
    assert picture.image.size == (-(-width // shrink), -(-height // shrink))
    assert picture.extent == (0, 0, height / shrink, width / shrink)


@pytest.mark.parametrize(
    ("preprocess", "shrink"),
    [
        (Preprocess((224, 224), resize=256), 2),
        (Preprocess((224, 224), resize=(256, 256)), 2),
        (Preprocess((224, 224), resize=(128, 255)), 4),
        (Preprocess((224, 224), resize=(255, 128)), 2),
        (Preprocess((170, 255)), 4),
        (Preprocess((84, 84)), 8),
        (Preprocess((684, 684)), 1),
        (Preprocess((1363, 2047), resize=32), 1),  # just the net's size
        (Preprocess((28, 28), resize=32, interpolation="nearest"), 1),
        (Preprocess((28, 28), resize=32, interpolation="box"), 1),
    ],
)
def test_every_way_of_resizing(preprocess: Preprocess, shrink: int, tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", np.zeros((1363, 2047, 3), np.uint8))
    assert small(path, preprocess).image.size == (-(-2047 // shrink), -(-1363 // shrink))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 90), st.integers(1, 90), st.integers(1, 8))
@example(1363, 2047, 128, 128, 1)
@example(1363, 2047, 30, 20, 6)
def test_the_law_of_sizes(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, tall: int, wide: int, orientation: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.jpg"
    Image.new("RGB", (width, height), (90, 60, 30)).save(path, "JPEG", exif=turned(orientation))
    if orientation >= 5:
        height, width = width, height  # from here on as seen
    preprocess = Preprocess((tall, wide))
    picture = small(path, preprocess)
    least = preprocess.least(height, width)
    fits = [s for s in (*SHRINKS, 1) if (height >= s * least[0] and width >= s * least[1]) or s == 1]
    shrink = 1 if (height, width) == preprocess.size else fits[0]
    assert (picture.height, picture.width) == (height, width)
    assert picture.image.size == (-(-width // shrink), -(-height // shrink))
    assert (picture.extent.height, picture.extent.width) == pytest.approx((height / shrink, width / shrink))
    assert picture.extent == picture.extent.clipped(picture.image.height, picture.image.width)
    if shrink > 1:
        resized = preprocess.resized(height, width)
        assert picture.image.height >= 2 * resized[0]
        assert picture.image.width >= 2 * resized[1]
    crop, placement = preprocess.crop(picture)
    assert crop.shape == (tall, wide, 3)
    assert placement == preprocess.place(height, width)


# --- pixels and places ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PHOTOS)
def test_photos_hardly_change(name: str, tmp_path: Path) -> None:
    photo = PHOTOS[name]
    scale = 2048 / max(photo.shape)
    size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
    path = jpeg(tmp_path / "a.jpg", enlarged(photo, *size))
    for side in (256, 160, 80):
        for method in ("bilinear", "bicubic", "lanczos", "hamming"):
            preprocess = Preprocess((side * 7 // 8, side * 7 // 8), resize=side, interpolation=method)
            assert small(path, preprocess).image.width < size[0]
            assert difference(path, preprocess) <= 2


@pytest.mark.parametrize("name", ["china", "motorcycle", "chelsea"])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_photos_with_all_the_detail_hardly_change(name: str, subsampling: int, tmp_path: Path) -> None:
    photo = np.tile(PHOTOS[name], (5, 5, 1))[:1363, :2047]  # not enlarged: as sharp as photos get
    path = jpeg(tmp_path / "a.jpg", photo, subsampling=subsampling)
    for side in (256, 160, 80):
        for method in ("bilinear", "bicubic"):
            preprocess = Preprocess((side * 7 // 8, side * 7 // 8), resize=side, interpolation=method)
            assert 0 < difference(path, preprocess) <= 2


@pytest.mark.parametrize("method", HARD)
def test_filters_that_select_pixels_keep_all_of_them(method: Any, tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", PHOTOS["china"])
    assert difference(path, Preprocess((28, 28), resize=32, interpolation=method)) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("height", "width"), [(521, 777), (520, 776)])
def test_a_slope_lies_where_it_lay(orientation: int, height: int, width: int, tmp_path: Path) -> None:
    """1/8 of 777 px are 98, the last of them with one real column: on a slope, a wrong extent would show."""
    rows, columns = np.mgrid[:height, :width]
    slope = np.dstack([rows * 255 / height, columns * 255 / width, np.full((height, width), 9)]).astype(np.uint8)
    path = jpeg(tmp_path / "a.jpg", slope, quality=98, subsampling=0, exif=turned(orientation))
    assert small(path).image.width in (-(-width // 8), -(-height // 8))
    squash = Preprocess((32, 32), resize=(32, 32))  # the whole image, up to its edges
    for preprocess in (SMALL, squash):
        one, other = crops(path, preprocess)
        assert np.abs(one - other)[2:-2, 2:-2].max() <= 1.5
        assert np.abs(one - other).mean() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_turned_in_every_size(orientation: int, tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", PHOTOS["china"], exif=turned(orientation))
    assert difference(path, SMALL) <= 2
    flat = Preprocess((20, 56), resize=(20, 56))  # what remains is counted as seen, not as stored
    assert small(path, flat).image.size == ((214, 320) if orientation >= 5 else (160, 107))
    assert difference(path, flat) <= 2


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_kind_of_jpeg(mode: str, progressive: bool, tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", PHOTOS["china"], mode, progressive=progressive)
    picture = small(path)
    assert (picture.image.mode, picture.image.size) == ("RGB", (160, 107))
    assert difference(path, SMALL) <= 2


def test_the_first_of_several_pictures(tmp_path: Path) -> None:
    first, second = Image.fromarray(PHOTOS["china"]), Image.fromarray(PHOTOS["flower"])
    path = tmp_path / "a.mpo"
    first.save(path, "MPO", save_all=True, append_images=[second], quality=90)
    assert small(path).image.size == (160, 107)
    assert difference(path, SMALL) <= 2


# --- what stays as it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_other_kinds_are_untouched(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    options = {"compression": "jpeg"} if kind == "TIFF" else {}
    Image.fromarray(PHOTOS["china"]).save(path, kind, **options)
    assert np.array_equal(small(path).pixels, decode(path))
    assert difference(path, SMALL) == 0


def test_the_switch_gives_the_full_decode_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = jpeg(tmp_path / "a.jpg", PHOTOS["china"])
    assert difference(path, SMALL) > 0
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *arguments: pytest.fail("drafted"))
    file = ImageFile(path, "a", "a", None)
    content, crop, placement = read_crop(file, SMALL, full_decode=True)
    expected, where = SMALL.crop(decode(path))
    assert np.array_equal(crop, expected)
    assert placement == where
    assert content == hashlib.sha256(path.read_bytes()).hexdigest()
    assert np.array_equal(file.read()[1], decode(path))
    assert np.array_equal(list_images([path]).files[0].read()[1], decode(path))


def test_the_hash_is_the_files(tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", PHOTOS["china"])
    assert read_picture(path, SMALL.least)[0] == read_picture(path)[0]


@pytest.mark.parametrize("part", [0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("progressive", [False, True])
def test_truncated_files_are_refused_in_every_size(part: float, progressive: bool, tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", PHOTOS["china"], progressive=progressive)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    for least in (None, SMALL.least):
        with pytest.raises(UnreadableImage) as caught:
            read_picture(path, least)
        assert caught.value.problem == TRUNCATED


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damage_has_the_same_reason_in_every_size(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = jpeg(tmp_path_factory.getbasetemp() / "damaged.jpg", PHOTOS["china"][:200, :300])
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, 699))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    assert outcome(path, SMALL) == outcome(path, None)


def outcome(path: Path, preprocess: Preprocess | None) -> str | tuple[int, int]:
    try:
        picture = read_picture(path, preprocess and preprocess.least)[1]
    except UnreadableImage as error:
        return error.problem
    return picture.height, picture.width


def test_a_bomb_is_measured_in_its_own_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = jpeg(tmp_path / "a.jpg", PHOTOS["china"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 640 * 427 - 1)
    with pytest.raises(UnreadableImage, match="too large"):
        small(path)


def test_a_lossless_jpeg_has_no_smaller_size(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(lossless_jpeg(600, 300))
    picture = small(path)
    assert picture.image.size == (600, 300)
    assert (picture.pixels == 128).all()


def lossless_jpeg(width: int, height: int) -> bytes:
    """Grey without a difference anywhere, by process 14 of the standard, as medical pictures have it."""
    parts = [b"\xff\xd8"]
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    codes = bytes([0, 0, 2, *[0] * 14, 0, 1])  # two Huffman codes of two bits, the first for "no difference"
    scan = b"\x03" + b"".join(bytes([number, 0]) for number in (1, 2, 3)) + b"\x01\0\0"
    for marker, body in ((0xC3, struct.pack(">BHHB", 8, height, width, 3) + components), (0xC4, codes), (0xDA, scan)):
        parts.append(bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body)
    return b"".join(parts) + bytes(width * height * 3 * 2 // 8 + 1) + b"\xff\xd9"


def test_a_users_picture_is_not_drafted(tmp_path: Path) -> None:
    with Image.open(jpeg(tmp_path / "a.jpg", PHOTOS["china"])) as image:
        assert decode(image).shape == PHOTOS["china"].shape


def test_a_dataset_is_read_as_it_gives_its_images(tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", PHOTOS["china"])

    class Photos:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Image.Image:
            return Image.open(path)

    file = list_images(Photos()).files[0]
    assert np.array_equal(file.picture(SMALL.least)[1].pixels, decode(path))
