"""Type and ink: Source Sans Pro for Pillow and matplotlib, the few colours beside it, and a canvas.

Its default numerals are tabular (all ten digits have one width; only "pnum" changes that), so columns of
numbers align with no font feature, thus also where Pillow lacks raqm.
"""

import importlib.resources
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

Weight = Literal["regular", "semibold", "italic"]

_FILES: dict[Weight, str] = {
    "regular": "SourceSansPro-Regular.ttf",
    "semibold": "SourceSansPro-Semibold.ttf",
    "italic": "SourceSansPro-It.ttf",
}


@cache
def font_path(weight: Weight = "regular") -> str:
    """The TTF file of that weight inside the installed package font_source_sans_pro."""
    return str(importlib.resources.files("font_source_sans_pro") / "files" / _FILES[weight])


@cache
def pillow_font(size: float, weight: Weight = "regular") -> ImageFont.FreeTypeFont:
    """The font for Pillow; size in device pixels."""
    return ImageFont.truetype(font_path(weight), size)


@cache
def matplotlib_font(size: float, weight: Weight = "regular") -> "FontProperties":
    """The font for matplotlib; size in points."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(fname=font_path(weight), size=size)


@cache
def _known_characters() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(font_path()).get_charmap())


def printable(text: str) -> str:
    """The text on one line; characters that the font lacks become «?» (matplotlib would warn of each)."""
    line = " ".join(text.split())
    if line.isascii() and line.isprintable():
        return line
    return "".join(character if ord(character) in _known_characters() else "?" for character in line)


def with_unit(name: str, unit: str) -> str:
    """«speed (px/s)», or the one that is there."""
    return f"{name} ({unit})" if name and unit else name or unit


def text_width(text: str, size: float, weight: Weight = "regular") -> float:
    """Width of one line in CSS px for a font size in CSS px; measured large, so it scales exactly."""
    return pillow_font(96, weight).getlength(printable(text)) * size / 96


def ellipsize(text: str, size: float, width: float, weight: Weight = "regular") -> str:
    """The text if it fits into width (CSS px), otherwise its beginning with «…»."""
    text = printable(text)
    if text_width(text, size, weight) <= width:
        return text
    fits, fails = 0, len(text)
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if text_width(text[:middle].rstrip() + "…", size, weight) <= width:
            fits = middle
        else:
            fails = middle
    return text[:fits].rstrip() + "…" if fits else ""


def format_row(values: Iterable[float | None]) -> list[str]:
    """The values with the same decimals: as many as give the largest three digits; no number is «–»."""
    row = [float("nan") if value is None else float(value) for value in values]
    largest = max((abs(value) for value in row if math.isfinite(value)), default=0.0)
    power = math.floor(math.log10(largest)) if largest else 0
    if not -3 <= power < 5:
        return [f"{value:.1e}".replace("-", "−") if math.isfinite(value) else "–" for value in row]
    decimals = max(0, 2 - power) if power >= 0 else 1 - power
    texts = [f"{round(value, decimals) + 0.0:.{decimals}f}" if math.isfinite(value) else "–" for value in row]
    return [text.replace("-", "−") for text in texts]


def format_tick(value: float, _: int | None = None) -> str:
    """An axis number: 0.25, 12,000, 1e−6."""
    size = abs(value)
    text = (
        f"{value:.3g}" if size and (size < 1e-3 or size >= 1e7) else f"{value:,.6g}" if size < 1e4 else f"{value:,.0f}"
    )
    return text.replace("-", "−")


Cell = str | float | int | None


def column_texts(rows: Sequence[Sequence[Cell]], column: int) -> tuple[list[str], bool]:
    """A column's cells as text, floats with the same decimals; and whether they are numbers."""
    cells = [row[column] for row in rows]
    numbers = [float(cell) for cell in cells if isinstance(cell, int | float) and not isinstance(cell, bool)]
    floats = iter(format_row(numbers))
    exact = not any(isinstance(cell, float) for cell in cells)
    texts = []
    for cell in cells:
        if isinstance(cell, bool):
            texts.append("yes" if cell else "no")
        elif isinstance(cell, int | float):
            text = next(floats)
            texts.append(f"{cell:,}".replace("-", "−") if exact else text)
        else:
            texts.append("–" if cell is None else cell)
    return texts, bool(numbers) and all(cell is None or isinstance(cell, int | float) for cell in cells)


SPACE = 0.22  # the width of a space, in font sizes
Word = tuple[str, Weight]


def wrap(words: list[Word], size: float, width: float) -> list[list[Word]]:
    """Words broken into lines of at most width (CSS px); a word wider than that is ellipsized."""
    lines: list[list[Word]] = []
    space, used = SPACE * size, 0.0
    for text, weight in words:
        word = ellipsize(text, size, width, weight)
        length = text_width(word, size, weight)
        if not lines or used + space + length > width:
            lines.append([])
            used = -space
        lines[-1].append((word, weight))
        used += space + length
    return lines


@dataclass(frozen=True)
class Palette:
    """The few colours of a picture beside its images, as hex."""

    paper: str
    ink: str
    grey: str
    hairline: str
    band: str
    lines: tuple[str, ...]  # of curves; the first is the accent


LIGHT = Palette(
    "#ffffff", "#1c1c1c", "#707070", "#d8d8d8", "#f2f2f2",
    ("#0b62a8", "#c2571a", "#2b8a70", "#8a4fa3", "#8c6d1f", "#b8405e"),
)  # fmt: skip
DARK = Palette(
    "#141414", "#ececec", "#9a9a9a", "#3a3a3a", "#232323",
    ("#6cb2ee", "#eb8f55", "#5fc2a6", "#c290dc", "#cfae58", "#ee8aa2"),
)  # fmt: skip


class Canvas:
    """A picture drawn in CSS px at any scale."""

    def __init__(self, width: float, height: float, scale: float, palette: Palette = LIGHT) -> None:
        self.scale, self.palette = scale, palette
        self.image = Image.new("RGB", (max(1, round(width * scale)), max(1, round(height * scale))), palette.paper)
        self.pen = ImageDraw.Draw(self.image)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = "",
        weight: Weight = "regular",
        at: str = "l",
    ) -> None:
        """One line of text on the baseline y; at "l", "m" or "r": x is its left end, middle or right end."""
        font = pillow_font(size * self.scale, weight)
        place = round(x * self.scale), round(y * self.scale)
        self.pen.text(place, printable(text), colour or self.palette.ink, font, anchor=at + "s")

    def line(self, left: float, top: float, right: float, bottom: float, colour: str = "") -> None:
        """A hairline."""
        ends = [round(end * self.scale) for end in (left, top, right, bottom)]
        self.pen.line(ends, colour or self.palette.hairline, max(1, int(0.5 * self.scale)))

    def frame(self, left: float, top: float, right: float, bottom: float) -> None:
        """A hairline around a picture, outside it, so that a white one has edges too."""
        thin = max(1, int(0.5 * self.scale)) / self.scale
        self.fill(left - thin, top - thin, right + thin, bottom + thin, self.palette.hairline)

    def fill(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """A filled rectangle, half-open."""
        edges = [round(edge * self.scale) for edge in (left, top, right, bottom)]
        self.pen.rectangle((edges[0], edges[1], edges[2] - 1, edges[3] - 1), fill=colour)

    def paste(self, pixels: NDArray[np.uint8] | Image.Image, left: float, top: float) -> None:
        """Device pixels put at a place."""
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        self.image.paste(image, (round(left * self.scale), round(top * self.scale)))


def draw_words(text: str, scale: float, palette: Palette, width: float = 400.0) -> Image.Image:
    """Grey words where there is nothing to draw."""
    canvas = Canvas(width, 48, scale, palette)
    canvas.text(0, 28, text, 13, palette.grey)
    return canvas.image
