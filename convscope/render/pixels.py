"""Pixels: numbers to colours, tiles to a side, boxes, value plates, heat, colour bars, thumbnails."""

import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.errors import ConvscopeError
from convscope.render.fonts import (
    Canvas,
    Palette,
    draw_words,
    ellipsize,
    format_row,
    pillow_font,
    printable,
    text_width,
)

Pixels = NDArray[np.uint8]  # H×W×3, RGB, 0-255
Values = NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]  # top, left, bottom, right; half-open
Limits = tuple[float, float]

MISSING = (205, 205, 205)  # what is not a number: no colour of either map
_NEGATIVE, _POSITIVE = ((46, 140, 235), (186, 224, 255)), ((230, 126, 26), (255, 223, 172))


@cache
def lookup(signed: bool) -> Pixels:
    """A colour table: magma, 256×3, black at 0; or diverging, 257×3, exactly mid-grey (128) in its middle.

    The diverging map goes from grey to blue (negative) and to orange (positive): hues that colour-blind
    readers tell apart, of the same lightness at the same distance from 0 (CIE L* 54 → 60 → 88).
    """
    if not signed:
        import matplotlib

        magma = (matplotlib.colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
        magma[0] = 0
        return magma
    stops = np.array([*reversed(_NEGATIVE), (128, 128, 128), *_POSITIVE], dtype=float)
    at = np.linspace(-1, 1, 257)
    channels = [np.interp(at, [-1, -0.5, 0, 0.5, 1], stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def colour_limits(values: Values, signed: bool, limits: Limits | None = None) -> Limits:
    """The values at the ends of the colour bar: 0 to the maximum, or symmetric about 0; never equal."""
    finite = values[np.isfinite(values)]
    low, high = limits or ((float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0))
    if signed:
        reach = max(abs(low), abs(high)) or 1.0
        return -reach, reach
    if limits is None:
        low = min(low, 0.0)
        high = max(high, 0.0)
    return (low, high) if high > low else (low, low + 1.0)


def colour(values: Values, signed: bool = False, limits: Limits | None = None) -> Pixels:
    """Values of any shape as colours, shape + 3; beyond the limits as at them, NaN in flat light grey."""
    low, high = colour_limits(values, signed, limits)
    table = lookup(signed)
    share = np.clip((np.nan_to_num(values.astype(np.float64), nan=low) - low) / (high - low), 0, 1)
    pixels: Pixels = table[(share * (len(table) - 1)).round().astype(np.intp)]
    pixels[np.isnan(values)] = MISSING
    return pixels


def require(holds: bool, problem: str) -> None:
    """Refuse what cannot be drawn, before it is drawn."""
    if not holds:
        raise ConvscopeError(f"this cannot be drawn: {problem}", "render/panels.py gives the shapes")


def check_picture(picture: NDArray[Any]) -> None:
    """Refuse what is not H×W×3 uint8."""
    is_picture = picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    require(is_picture, f"a picture is H×W×3 uint8, not {picture.shape} {picture.dtype}")


def normalise(values: Values, centre: float | None = None) -> Values:
    """Values in [0, 1]: minimum to maximum; or, about a centre, the centre at 0.5 and one gain for both.

    The two scalings of the Deep Visualization Toolbox; a constant gives 0 (the centre gives 0.5), never NaN.
    """
    finite = np.isfinite(values)
    clean = np.where(finite, values, 0.0 if centre is None else centre).astype(np.float64)
    if centre is not None:
        reach = float(np.abs(clean - centre).max(initial=0.0))
        return np.asarray(0.5 + (clean - centre) / (2 * reach or 1.0))
    low = float(values[finite].min()) if finite.any() else 0.0
    high = float(values[finite].max()) if finite.any() else 0.0
    return np.asarray(np.where(finite, clean - low, 0.0) / ((high - low) or 1.0))


def to_bytes(values: Values) -> Pixels:
    """Values in [0, 1] as 0-255; 0.5 is 128."""
    whole: Pixels = np.floor(np.clip(np.nan_to_num(values), 0, 1) * 255 + 0.5).astype(np.uint8)
    return whole


def resize_tile(pixels: Pixels, side: int, *, smooth: bool = True, scale: float = 1.0) -> Pixels:
    """The pixels with their longer side at `side` device px (scale of them make a CSS px).

    Shrinking: Lanczos, which keeps edges sharp without aliasing. Enlarging up to 4 times: bicubic, since
    patches are photographs and steps of two or three pixels look like noise. From 4 times on, or if not
    smooth: nearest, so that an 11×11 filter shows its 121 numbers and nothing is invented between them. The
    factor counts in CSS px, so the same tile looks alike at every scale.
    """
    height, width = pixels.shape[:2]
    factor = side / max(height, width, 1)
    shape = max(1, round(width * factor)), max(1, round(height * factor))
    if not pixels.size:
        return np.full((side, side, 3), MISSING, dtype=np.uint8)
    if factor <= 1:
        method = Image.Resampling.LANCZOS
    else:
        method = Image.Resampling.BICUBIC if smooth and factor / scale < 4 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize(shape, method))


def draw_box(pixels: Pixels, box: Box, scale: float = 1.0, factor: float = 1.0) -> None:
    """Draw in place a white frame, 2 CSS px, just inside box × factor (device px), and a dark contour.

    The contour lies outside the box where there is room, and on the tile's own edge where there is not.
    """
    height, width = pixels.shape[:2]
    line, thin = max(1, round(2 * scale)), max(1, round(0.75 * scale))
    edges = [round(edge * factor) for edge in box]
    top, left = max(edges[0], thin), max(edges[1], thin)
    bottom, right = min(edges[2], height - thin), min(edges[3], width - thin)
    top, left = min(top, max(bottom - 2 * line, thin)), min(left, max(right - 2 * line, thin))
    bottom, right = max(bottom, min(top + 2 * line, height)), max(right, min(left + 2 * line, width))
    inside = pixels[top + line : bottom - line, left + line : right - line].copy()
    pixels[top - thin : bottom + thin, left - thin : right + thin] = 48
    pixels[top:bottom, left:right] = 255
    pixels[top + line : bottom - line, left + line : right - line] = inside


def draw_value(
    pixels: Pixels, text: str, size: float = 11, scale: float = 1.0, corner: tuple[float, float] = (0, 0)
) -> Pixels:
    """The pixels with the text in black on a white plate; size in CSS px.

    The plate's upper left corner is (top, left) in device px, moved so far that the plate lies inside.
    """
    image = Image.fromarray(pixels)
    width, height = round((text_width(text, size) + 6) * scale), round((size + 3) * scale)
    top = max(min(round(corner[0]), image.height - height), 0)
    left = max(min(round(corner[1]), image.width - width), 0)
    pen, font = ImageDraw.Draw(image), pillow_font(size * scale)
    pen.rectangle((left, top, left + width - 1, top + height - 1), fill="white")
    place = left + round(3 * scale), top + round((size * 0.83 + 1.5) * scale)
    pen.text(place, printable(text), "black", font, anchor="ls")
    return np.asarray(image)


def hatch(height: int, width: int, scale: float = 1.0) -> Pixels:
    """Fine diagonal lines on light grey: here is no number."""
    diagonal = np.add.outer(np.arange(height), np.arange(width)) % max(3, round(5 * scale))
    on = diagonal < max(1, round(scale))
    return np.where(on[..., None], np.uint8(150), np.uint8(MISSING[0])).repeat(3, axis=2).astype(np.uint8)


def png_bytes(pixels: Pixels | Image.Image) -> bytes:
    """The picture as a PNG file."""
    return _encode(pixels, format="PNG", optimize=False)


def webp_bytes(pixels: Pixels | Image.Image, quality: int = 90) -> bytes:
    """The picture as a WebP file; quality 100 is without loss."""
    return _encode(pixels, format="WEBP", quality=quality, lossless=quality == 100)


def _encode(pixels: Pixels | Image.Image, **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def colour_bar_width(name: str, limits: Limits) -> float:
    """The room that draw_colour_bar takes beside a picture, its gap included."""
    words = ["no value", *("≤ " + text for text in format_row(limits))]
    return 18 + max(text_width(name, 12), 18 + max(text_width(word, 12) for word in words))


def draw_colour_bar(
    canvas: Canvas, left: float, height: float, limits: Limits, signed: bool, name: str, values: Values
) -> None:
    """From the canvas' top to height: the quantity, a bar with ends and middle, a sample of «no value»."""
    scale, palette, finite = canvas.scale, canvas.palette, values[np.isfinite(values)]
    left, top, bottom = left + 16, 24.0, height - 1
    canvas.text(left, 11, name, 12)
    if np.isnan(values).any():
        bottom -= 24
        canvas.paste(hatch(round(12 * scale), round(12 * scale), scale), left, height - 13)
        canvas.text(left + 18, height - 3, "no value", 12, palette.grey)
    ramp = lookup(signed)[::-1, None].repeat(round(12 * scale), axis=1)
    size = round(12 * scale), max(1, round((bottom - top) * scale))
    canvas.paste(Image.fromarray(ramp).resize(size, Image.Resampling.NEAREST), left, top)
    at = [limits[0], sum(limits) / 2, limits[1]]
    ticks = [tick if value else "0" for tick, value in zip(format_row(at), at, strict=True)]
    ticks[0] = "≤ " + ticks[0] if finite.size and finite.min() < limits[0] else ticks[0]
    ticks[2] = "≥ " + ticks[2] if finite.size and finite.max() > limits[1] else ticks[2]
    for tick, y in zip(ticks, (bottom, (top + bottom) / 2 + 4, top + 8), strict=True):
        canvas.text(left + 18, y, tick, 12, palette.grey)


def heat_pixels(values: Values, signed: bool, limits: Limits | None, size: tuple[int, int], scale: float) -> Pixels:
    """The colours of a map as height × width device px, every cell a rectangle, missing cells hatched."""
    height, width = size
    method = Image.Resampling.NEAREST
    if values.shape[0] > height or values.shape[1] > width:
        method = Image.Resampling.BOX
    pixels = np.array(Image.fromarray(colour(values, signed, limits)).resize((width, height), method))
    if np.isnan(values).any():
        cells = Image.fromarray(np.isnan(values).astype(np.uint8) * 255)
        missing = np.asarray(cells.resize((width, height), Image.Resampling.NEAREST)) > 0
        pixels[missing] = hatch(height, width, scale)[missing]
    return pixels


def draw_thumbnails(
    x: Values, y: Values, thumbnails: Sequence[Pixels], grid: bool, scale: float, palette: Palette
) -> Image.Image:
    """Pictures at their positions (y upwards), or in the cells (row y, column x) of a grid, row 0 on top."""
    if not len(thumbnails):
        return draw_words("no pictures to draw", scale, palette)
    if grid:
        columns, rows = int(x.max()) + 1, int(y.max()) + 1
        side = max(min(960 / columns, 72.0), 6.0)
        lefts, tops, size = x * side, y * side, (columns * side, rows * side)
    else:
        side = float(np.clip(1000 / len(x) ** 0.5, 20, 64))
        reach = max(float(np.ptp(x)), float(np.ptp(y))) or 1.0
        lefts, tops = (x - x.min()) / reach * (960 - side), (y.max() - y) / reach * (960 - side)
        size = (float(lefts.max()) + side, float(tops.max()) + side)
    canvas = Canvas(*size, scale, palette)
    for left, top, pixels in zip(lefts, tops, thumbnails, strict=True):
        cut = min(pixels.shape[:2])
        row, column = (pixels.shape[0] - cut) // 2, (pixels.shape[1] - cut) // 2
        square = pixels[row : row + cut, column : column + cut]
        across = round((left + side) * scale) - round(left * scale)
        canvas.paste(resize_tile(square, across, scale=scale), float(left), float(top))
    return canvas.image


def draw_overlay(
    image: Pixels, heat: Values | None, heat_box: Box | None, signed: bool, limits: Limits | None, name: str,
    boxes: Sequence[tuple[Box, str]], scale: float, palette: Palette, side: float = 400.0,
) -> Image.Image:  # fmt: skip
    """The image, its longer side as given, with boxes; under a heat map in grey, so that all colour is heat."""
    factor = side * scale / max(*image.shape[:2], 1)
    shown = resize_tile(image, round(side * scale), scale=scale).copy()
    if heat is not None:
        grey = Image.fromarray(shown).convert("L").point(lambda value: 72 + 0.7 * value)  # so 0 hides nothing
        picture = grey.convert("RGB")
        top, left, bottom, right = (round(edge * factor) for edge in heat_box or (0, 0, *image.shape[:2]))
        size = max(bottom - top, 1), max(right - left, 1)
        colours = Image.fromarray(heat_pixels(heat, signed, limits, size, scale))
        picture.paste(colours, (left, top), Image.new("L", colours.size, 140))
        shown = np.array(picture)
    for box, _ in boxes:
        draw_box(shown, box, scale, factor)
    for box, label in boxes:
        if label:
            inside = box[0] * factor, box[1] * factor
            shown = draw_value(shown, ellipsize(label, 12, 180), 12, scale, inside)
    if heat is None:
        return Image.fromarray(shown)
    height, width = max(shown.shape[0] / scale, 112.0), shown.shape[1] / scale
    ends = colour_limits(heat, signed, limits)
    canvas = Canvas(width + colour_bar_width(name, ends), height, scale, palette)
    canvas.paste(shown, 0, 0)
    draw_colour_bar(canvas, width, height, ends, signed, name, heat)
    return canvas.image
