"""decode: every picture file becomes the RGB bytes that a person sees, or is refused with a reason."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from convscope.data.decode import decode
from tests.data.pictures import ASTRONAUT, CHINA, on_white, refusal, saved


def test_a_real_jpeg_from_path_text_and_bytes() -> None:
    import sklearn.datasets

    path = Path(sklearn.datasets.__file__).parent / "images" / "china.jpg"
    for source in (path, str(path), path.read_bytes(), Image.open(path)):
        pixels = decode(source)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
        assert np.array_equal(pixels, CHINA)


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(ASTRONAUT).save(tmp_path / "a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert np.array_equal(decode("~/a.png"), ASTRONAUT)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TGA", "TIFF", "PCX", "SGI", "QOI"])
def test_lossless_kinds_are_exact(kind: str) -> None:
    assert np.array_equal(decode(saved(Image.fromarray(ASTRONAUT), kind)), ASTRONAUT)


def test_webp_and_jpeg2000_lossless_are_exact() -> None:
    image = Image.fromarray(ASTRONAUT)
    assert np.array_equal(decode(saved(image, "WEBP", lossless=True)), ASTRONAUT)
    assert np.array_equal(decode(saved(image, "JPEG2000", irreversible=False)), ASTRONAUT)


@pytest.mark.parametrize("kind", ["AVIF", "JPEG", "WEBP"])
def test_lossy_kinds_are_close(kind: str) -> None:
    pixels = decode(saved(Image.fromarray(ASTRONAUT), kind, quality=90)).astype(float)
    assert np.abs(pixels - ASTRONAUT).mean() < 4


@pytest.mark.parametrize("size", [(1, 1), (20_000, 3), (3, 20_000)])
def test_extreme_sizes(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert np.array_equal(decode(saved(Image.fromarray(pixels), "PNG")), pixels)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    red, blue = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(red, kind, save_all=True, append_images=[blue], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert np.array_equal(decode(data), np.full((6, 8, 3), (255, 0, 0)))


def test_a_large_jpeg_is_never_drafted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *arguments: pytest.fail("drafted"))
    assert decode(saved(Image.fromarray(CHINA), "JPEG")).shape == CHINA.shape


def test_a_users_pil_image_is_left_as_it_was() -> None:
    image = Image.fromarray(np.dstack([ASTRONAUT, ASTRONAUT[:, :, 0]]))
    image.info["note"] = "kept"
    before = (image.mode, image.size, image.tobytes(), dict(image.info))
    decode(image)[:] = 0
    assert (image.mode, image.size, image.tobytes(), dict(image.info)) == before


@settings(deadline=None)
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6)))
def test_grey_of_16_bits_is_scaled_by_257(grey: NDArray[np.uint8]) -> None:
    expected = np.dstack([grey] * 3)
    wide = grey.astype(np.uint16) * 257
    assert np.array_equal(decode(Image.fromarray(wide)), expected)
    assert np.array_equal(decode(saved(Image.fromarray(wide), "PNG")), expected)
    for order in "<>":
        file = io.BytesIO()
        tifffile.imwrite(file, wide.astype(wide.dtype.newbyteorder(order)), byteorder=order)
        assert np.array_equal(decode(file.getvalue()), expected)


@settings(deadline=None)
@given(st.integers(0, 65535))
def test_grey_of_16_bits_is_rounded(value: int) -> None:
    expected = round(value / 257)
    for image in (Image.fromarray(np.array([[value]], dtype=kind)) for kind in (np.uint16, ">u2", np.int32)):
        assert decode(image).tolist() == [[[expected] * 3]]


def test_grey_of_16_bits_with_a_transparent_value() -> None:
    wide = np.array([[0, 1000, 65535]], dtype=np.uint16)
    data = saved(Image.fromarray(wide), "PNG", transparency=1000)
    assert decode(data)[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize(("value", "reason"), [(65536, "65536"), (-1, "-1")])
def test_long_integers_beyond_16_bits_are_refused(value: int, reason: str) -> None:
    assert reason in refusal(Image.fromarray(np.array([[0, value]], dtype=np.int32)))


def test_colour_of_16_bits() -> None:
    wide = ASTRONAUT.astype(np.uint16) * 257
    file = io.BytesIO()
    tifffile.imwrite(file, wide, photometric="rgb")
    assert np.array_equal(decode(file.getvalue()), ASTRONAUT)


@settings(deadline=None)
@given(arrays.arrays(np.uint8, (3, 4)).filter(lambda grey: grey.max() > 1))
def test_floats_of_either_range(grey: NDArray[np.uint8]) -> None:
    expected = np.dstack([grey] * 3)
    for values in (grey.astype(np.float32), grey.astype(np.float32) / 255):
        assert np.array_equal(decode(Image.fromarray(values)), expected)
    file = io.BytesIO()
    tifffile.imwrite(file, grey.astype(np.float32) / 255)
    assert np.array_equal(decode(file.getvalue()), expected)


@pytest.mark.parametrize(("values", "expected"), [([0.999, 0.001], [255, 0]), ([199.6, 2.4], [200, 2])])
def test_floats_are_rounded(values: list[float], expected: list[int]) -> None:
    assert decode(Image.fromarray(np.array([values], dtype=np.float32)))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("value", [-0.5, 256.0, np.nan, np.inf])
def test_other_floats_are_refused(value: float) -> None:
    assert "float values" in refusal(Image.fromarray(np.array([[0.5, value]], dtype=np.float32)))


def test_ink_as_adobe_stores_it() -> None:
    ink = Image.fromarray(ASTRONAUT).convert("CMYK")
    data = saved(ink, "JPEG", quality=95)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    assert np.abs(decode(data).astype(float) - ASTRONAUT).mean() < 3
    assert np.array_equal(decode(saved(ink, "TIFF")), ASTRONAUT)


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "HSV", "LAB", "RGBX"])
def test_other_modes_look_like_the_photo(mode: str) -> None:
    from PIL import ImageCms

    photo = Image.fromarray(ASTRONAUT)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.applyTransform(photo, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    else:
        image = photo.quantize(256) if mode == "P" else photo.convert(mode)
    expected = np.asarray(photo.convert("L").convert("RGB")) if mode in ("1", "L") else ASTRONAUT
    pixels = decode(image).astype(float)
    assert pixels.shape == ASTRONAUT.shape
    assert np.abs(pixels.mean(axis=(0, 1)) - expected.mean(axis=(0, 1))).max() < 6
    if mode != "1":
        assert np.abs(pixels - expected).mean() < 12


def test_one_bit_is_black_and_white() -> None:
    bits = Image.fromarray(np.array([[True, False]]))
    assert decode(saved(bits, "PNG")).tolist() == [[[255] * 3, [0] * 3]]


@settings(deadline=None)
@given(arrays.arrays(np.uint8, (2, 3, 4)))
def test_alpha_is_laid_on_white(pixels: NDArray[np.uint8]) -> None:
    expected = on_white(pixels[:, :, :3], pixels[:, :, 3])
    assert np.array_equal(decode(Image.fromarray(pixels)), expected)
    assert np.array_equal(decode(saved(Image.fromarray(pixels), "PNG")), expected)


@settings(deadline=None)
@given(arrays.arrays(np.uint8, (2, 3, 2)))
def test_grey_with_alpha(pixels: NDArray[np.uint8]) -> None:
    expected = on_white(np.repeat(pixels[:, :, :1], 3, axis=2), pixels[:, :, 1])
    assert np.array_equal(decode(Image.fromarray(pixels)), expected)


@settings(deadline=None)
@given(arrays.arrays(np.uint8, (2, 3, 4)))
def test_premultiplied_alpha(pixels: NDArray[np.uint8]) -> None:
    full = Image.fromarray(pixels)
    expected = on_white(pixels[:, :, :3], pixels[:, :, 3]).astype(int)
    assert np.abs(decode(full.convert("RGBa")) - expected).max() <= 1
    grey = full.convert("LA")
    assert np.abs(decode(grey.convert("La")) - decode(grey).astype(int)).max() <= 1


def test_palettes_with_transparency() -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8))
    palette = palette.convert("P")
    palette.putpalette([10, 20, 30, 200, 0, 0, 0, 100, 0])
    assert decode(saved(palette, "PNG")).tolist() == [[[10, 20, 30], [200, 0, 0], [0, 100, 0]]]
    assert decode(saved(palette, "PNG", transparency=1)).tolist() == [[[10, 20, 30], [255] * 3, [0, 100, 0]]]
    half = saved(palette, "PNG", transparency=bytes([255, 51, 0]))
    assert decode(half).tolist() == [[[10, 20, 30], [244, 204, 204], [255] * 3]]
    assert decode(saved(palette, "GIF", transparency=2))[0, 2].tolist() == [255] * 3


def test_palette_with_alpha_channel() -> None:
    image = Image.new("PA", (2, 1))
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.putpixel((0, 0), (1, 255))
    image.putpixel((1, 0), (1, 51))
    assert decode(image).tolist() == [[[200, 0, 0], [244, 204, 204]]]


def test_a_transparent_colour_without_alpha() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], dtype=np.uint8))
    assert decode(saved(image, "PNG", transparency=(1, 2, 3))).tolist() == [[[255] * 3, [1, 2, 4]]]


# Where the stored (row, column) of an H×W picture is seen, from the EXIF standard's «0th row is …».
SEEN_AT = {
    1: lambda row, column, height, width: (row, column),
    2: lambda row, column, height, width: (row, width - 1 - column),
    3: lambda row, column, height, width: (height - 1 - row, width - 1 - column),
    4: lambda row, column, height, width: (height - 1 - row, column),
    5: lambda row, column, height, width: (column, row),
    6: lambda row, column, height, width: (column, height - 1 - row),
    7: lambda row, column, height, width: (width - 1 - column, height - 1 - row),
    8: lambda row, column, height, width: (width - 1 - column, row),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    stored = np.random.default_rng(1).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    seen = decode(saved(Image.fromarray(stored), kind, exif=exif, **options))
    assert seen.shape == ((3, 2, 3) if orientation >= 5 else (2, 3, 3))
    for row, column in np.ndindex(2, 3):
        assert np.array_equal(seen[SEEN_AT[orientation](row, column, 2, 3)], stored[row, column])


def test_jpeg_and_16_bits_are_turned_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain, turned = (saved(Image.fromarray(ASTRONAUT), "JPEG", **more) for more in ({}, {"exif": exif}))
    assert np.array_equal(decode(turned), np.rot90(decode(plain), -1))
    wide = ASTRONAUT[:, :, 0].astype(np.uint16) * 257
    data = saved(Image.fromarray(wide), "PNG", exif=exif)
    assert np.array_equal(decode(data)[:, :, 0], np.rot90(ASTRONAUT[:, :, 0], -1))


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03", b"\0"])
def test_broken_exif_does_not_spoil_a_good_picture(exif: bytes) -> None:
    good = saved(Image.fromarray(ASTRONAUT), "JPEG")
    broken = good[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + good[2:]
    filters = list(warnings.filters)
    assert np.array_equal(decode(broken), decode(good))
    assert warnings.filters == filters


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(saved(Image.fromarray(ASTRONAUT), "PNG", exif=exif)), ASTRONAUT)
