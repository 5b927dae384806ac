"""Layout: tiles into rows, panels into one picture or one page."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.render.fonts import (
    LIGHT,
    SPACE,
    Canvas,
    Palette,
    Word,
    column_texts,
    draw_words,
    ellipsize,
    format_row,
    text_width,
    with_unit,
    wrap,
)
from convscope.render.pixels import (
    Box,
    check_picture,
    draw_box,
    draw_value,
    png_bytes,
    resize_tile,
    webp_bytes,
)


@dataclass(frozen=True, eq=False)
class Tile:
    """A patch; box (top, left, bottom, right) in its own pixels, half-open; footer: a word below it."""

    pixels: NDArray[Any]  # H×W×3, 0–255
    value: float | None = None
    box: Box | None = None
    footer: str = ""
    values: NDArray[Any] | None = None  # that the pixels are the colours of, where another scale may be asked for

    def __post_init__(self) -> None:
        check_picture(self.pixels)


@dataclass(frozen=True, eq=False)
class TileRow:
    """The patches of one unit, best first; control: of a random direction or the like, and drawn so."""

    title: str
    subtitle: str
    tiles: tuple[Tile, ...]
    control: bool = False


@dataclass(frozen=True)
class TileLayout:
    """How rows of square patches stand on a grid; sizes in CSS px."""

    side: float
    value_name: str
    smooth: bool
    empty: str

    def draw(self, rows: Sequence[TileRow], scale: float, palette: Palette) -> Image.Image:
        """Titles in a gutter at the left, tiles at the right, control rows on a grey band."""
        if not rows:
            return draw_words("no rows", scale, palette)
        side, tiles = self.side, [tile for row in rows for tile in row.tiles]
        words = [text_width(row.title, 15, "semibold") for row in rows]
        words += [max(text_width(row.subtitle, 12), 40.0 * row.control) for row in rows]
        gutter, gap = min(max(words), 150.0) + 18 if max(words) else 0.0, 6.0
        controls = any(row.control for row in rows)
        between = 18.0 if controls else 14.0 if gutter else gap
        pad, inset = (between / 2, 8) if controls else (0, 0)
        start, height = gutter, side + (18 if any(tile.footer for tile in tiles) else 0)
        head = 22.0 if self.value_name and any(tile.value is not None for tile in tiles) else 0.0
        width = start + max(max(len(row.tiles) for row in rows) * (side + gap) - gap, 0) + inset
        if any(not row.tiles for row in rows):
            width = max(width, start + text_width(self.empty, 13) + inset)
        heights = [max(height, 52 * row.control) if row.tiles else max(36, 52 * row.control) for row in rows]
        total = head + sum(heights) + between * (len(rows) - 1) + 2 * pad
        canvas = Canvas(width, total, scale, palette)
        if head:
            canvas.text(start, 12, f"number: {self.value_name}", 12, palette.grey)
        top = head + pad
        for row, tall in zip(rows, heights, strict=True):
            if row.control:
                canvas.fill(start - inset, top - pad, width, top + tall + pad, palette.band)
            self._draw_titles(canvas, row, top, gutter - 18)
            for index, text in enumerate(format_row(tile.value for tile in row.tiles)):
                tile, left = row.tiles[index], start + index * (side + gap)
                self._draw_tile(canvas, tile, "" if tile.value is None else text, left, top)
            if not row.tiles:
                canvas.text(start, top + 14, self.empty, 13, palette.grey)
            top += tall + between
        return canvas.image

    def _draw_titles(self, canvas: Canvas, row: TileRow, top: float, width: float) -> None:
        grey = canvas.palette.grey
        if row.control:
            canvas.text(0, top + 14, ellipsize(row.title, 15, width, "italic"), 15, grey, "italic")
            canvas.text(0, top + (47 if row.subtitle else 31), "control", 12, grey, "italic")
        else:
            canvas.text(0, top + 14, ellipsize(row.title, 15, width, "semibold"), 15, weight="semibold")
        canvas.text(0, top + 31, ellipsize(row.subtitle, 12, width), 12, grey)

    def _draw_tile(self, canvas: Canvas, tile: Tile, text: str, left: float, top: float) -> None:
        side, scale = self.side, canvas.scale
        corner = (0.0, 0.0)
        patch = resize_tile(tile.pixels, round(side * scale), smooth=self.smooth, scale=scale).copy()
        if tile.box is not None:
            factor = side * scale / max(*tile.pixels.shape[:2], 1)
            draw_box(patch, tile.box, scale, factor)
            if tile.box[1] * factor < 32 * scale and tile.box[2] * factor < 40 * scale:
                corner = (side * scale, 0)  # a small box in the corner is not to vanish under the value
        square = Image.new("RGB", (round(side * scale), round(side * scale)), canvas.palette.band)
        middle = (square.width - patch.shape[1]) // 2, (square.height - patch.shape[0]) // 2
        square.paste(Image.fromarray(patch), middle)
        shown = np.asarray(square)
        if text:
            shown = draw_value(shown, text, min(max(side / 10, 8), 11), scale, corner)
        canvas.frame(left, top, left + side, top + side)
        canvas.paste(shown, left, top)
        canvas.text(left, top + side + 13, ellipsize(tile.footer, 11, side), 11, canvas.palette.grey)


@runtime_checkable
class Panel(Protocol):
    """What a figure asks of a panel; the six kinds are in panels.py."""

    @property
    def kind(self) -> str:
        """One of the six."""

    @property
    def title(self) -> str:
        """What is drawn; set in bold before the caption."""

    @property
    def caption(self) -> str:
        """What a reader must know: network, layer, unit, scale, N."""

    def picture(self, scale: float = 2.0, dark: bool = False) -> Image.Image:
        """The drawn panel, without title and caption."""

    def numbers(self) -> dict[str, Any]:
        """What is behind the picture."""


def _words(panel: Panel, above: str) -> list[Word]:
    title = "" if panel.title == above else panel.title.rstrip(".")
    bold: list[Word] = [(word, "semibold") for word in (title + "." if title else "").split()]
    caption = panel.caption.strip().replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    return bold + [(word, "regular") for word in re.split("[ \t\n]+", caption) if word]


def compose(panels: Sequence[Panel], title: str, subtitle: str = "", scale: float = 2.0) -> bytes:
    """One PNG: title, then the panels one under another, each with its title and caption set below it."""
    pictures = [panel.picture(scale) for panel in panels]
    width = max([480.0, *(picture.width / scale for picture in pictures)])
    measure = min(width, 760.0)
    captions = [wrap(_words(panel, title), 13, measure) for panel in panels]
    heads = [(wrap([(word, "semibold") for word in title.split()], 20, width), 20, 26)]
    heads += [(wrap([(word, "regular") for word in subtitle.split()], 13, width), 13, 18)]
    head = sum(len(lines) * step for lines, _, step in heads)
    tall = [picture.height / scale + 12 + 18 * len(lines) for picture, lines in zip(pictures, captions, strict=True)]
    margin, between = 28.0, 32.0
    total = 2 * margin + head + 16 * bool(head and panels) + sum(tall) + between * max(len(panels) - 1, 0)
    canvas = Canvas(width + 2 * margin, total, scale, LIGHT)
    top = margin
    for lines, size, step in heads:
        for line in lines:
            _draw_line(canvas, line, margin, top + 0.8 * size, size, LIGHT.ink if size > 13 else LIGHT.grey)
            top += step
    top += 16 * bool(head)
    for picture, lines, height in zip(pictures, captions, tall, strict=True):
        canvas.paste(picture, margin, top)
        for index, line in enumerate(lines):
            _draw_line(canvas, line, margin, top + picture.height / scale + 24 + 18 * index, 13, LIGHT.ink)
        top += height + between
    return png_bytes(canvas.image)


def _draw_line(canvas: Canvas, line: list[Word], left: float, base: float, size: float, colour: str) -> None:
    for text, weight in line:
        canvas.text(left, base, text, size, colour, weight)
        left += text_width(text, size, weight) + SPACE * size


_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --grey: #707070; --hairline: #d8d8d8; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --grey: #9a9a9a; --hairline: #3a3a3a; --paper: #141414; }
}
body { margin: 0 auto; padding: 40px 28px 80px; max-width: 1180px;
  font: 15px/1.45 "Source Sans 3", "Source Sans Pro", system-ui, sans-serif;
  background: var(--paper); color: var(--ink); font-variant-numeric: tabular-nums; }
h1 { font-size: 26px; font-weight: 600; line-height: 1.2; margin: 0; }
header p { color: var(--grey); margin: 6px 0 0; }
figure { margin: 40px 0 0; overflow-x: auto; }
figure > picture > img { display: block; max-width: 100%; height: auto; }
figcaption { margin-top: 12px; max-width: 760px; }
details { margin-top: 6px; max-width: 760px; color: var(--grey); font-size: 13px; }
pre { max-height: 320px; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; border-block: 1px solid var(--grey); }
.rows { max-height: 640px; overflow: auto; width: fit-content; max-width: 100%; }
th { color: var(--grey); font-weight: 400; font-size: 13px; text-align: left; }
th, td { padding: 3px 28px 3px 0; } td { border-top: 1px solid var(--hairline); }
.number { text-align: right; }
"""


def page(panels: Sequence[Panel], title: str, subtitle: str = "") -> str:
    """One HTML document that needs nothing else: pictures inside, for light and dark; numbers to unfold."""
    figures = "".join(_figure(panel, title) for panel in panels)
    below = f"<p>{html.escape(subtitle)}</p>" if subtitle else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><header><h1>{html.escape(title)}</h1>{below}</header>\n{figures}</body></html>\n"
    )


def _figure(panel: Panel, above: str) -> str:
    words = "" if panel.title == above else html.escape(panel.title.rstrip("."))
    head = f"<strong>{words}.</strong> " if words else ""
    lines = (f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False, ensure_ascii=False)}"
             for key, value in panel.numbers().items())  # fmt: skip
    body = _table(panel.numbers()) if panel.kind == "table" else _picture(panel)
    numbers = html.escape("{\n" + ",\n".join(lines) + "\n}")
    return (
        f"<figure>{body}\n<figcaption>{head}{html.escape(panel.caption)}</figcaption>\n"
        f"<details><summary>numbers</summary><pre>{numbers}</pre></details></figure>\n"
    )


def _picture(panel: Panel) -> str:
    pictures = [panel.picture(2, dark) for dark in (False, True)]
    light, dark = [_data_uri(picture) for picture in pictures]
    size = pictures[0].size
    words = html.escape(f"{panel.kind}: {panel.title}")
    return (
        f'<picture><source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        f'<img src="{light}" width="{size[0] // 2}" height="{size[1] // 2}" alt="{words}"></picture>'
    )


def _table(numbers: dict[str, Any]) -> str:
    columns, rows = numbers["columns"], numbers["rows"]
    texts, starts = [], []
    for index, column in enumerate(columns):
        cells, numeric = column_texts(rows, index)
        texts.append(cells)
        right = column["align"] == "right" or (column["align"] == "auto" and numeric)
        starts.append('<td class="number">' if right else "<td>")
    heads = [
        start.replace("td", "th") + html.escape(with_unit(column["name"], column["unit"]))
        for start, column in zip(starts, columns, strict=True)
    ]
    lines = ["".join(heads)]
    lines += [
        "".join(start + html.escape(text) for start, text in zip(starts, row, strict=True))
        for row in zip(*texts, strict=True)
    ]
    return '<div class="rows"><table><tr>' + "\n<tr>".join(lines) + "</table></div>"


def _data_uri(picture: Image.Image) -> str:
    """PNG, exact; above 400 kB (photographs) WebP, a fifth of the size and no visible difference."""
    data, form = png_bytes(picture), "png"
    if len(data) > 400_000:
        data, form = webp_bytes(picture, 92), "webp"
    return f"data:image/{form};base64,{b64encode(data).decode()}"
