"""The six kinds of panel that show every result: tiles, image, heat map, curve, table, scatter.

A panel is data; it gives its picture, its caption and its numbers. The picture holds no title and no caption:
figure.py sets these as text around it.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from PIL import Image

from convscope.render import charts, pixels, points
from convscope.render.charts import Column, Series
from convscope.render.figure import Panel, Tile, TileLayout, TileRow
from convscope.render.fonts import DARK, LIGHT, Canvas, Cell, Palette, with_unit
from convscope.render.pixels import Box, Limits, Pixels, Values, check_picture, require

__all__ = [
    "Cell", "Column", "Curve", "HeatMap", "Overlay", "Panel", "Scale", "Scatter",
    "Series", "Table", "Tile", "TileRow", "Tiles", "Windows",
]  # fmt: skip

BAR = 240.0  # CSS px: a bar need not be as tall as many rows of tiles


def plain(value: Any) -> Any:
    """The value as JSON holds it: arrays as lists, what is not finite as null."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


class _Drawn:
    """What the six kinds share: PNG bytes from their picture."""

    def picture(self, scale: float = 2.0, dark: bool = False) -> Image.Image:
        """The picture at `scale` device px per CSS px, on white or near-black paper."""
        return self._draw(scale, DARK if dark else LIGHT)

    def png(self, scale: float = 2.0, dark: bool = False) -> bytes:
        """The picture as a PNG file."""
        return pixels.png_bytes(self.picture(scale, dark))

    def _draw(self, scale: float, palette: Palette) -> Image.Image:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Scale:
    """The colours that tiles share, for the bar beside them."""

    limits: Limits
    signed: bool
    values: Values  # what is drawn: the bar says whether some of it lies beyond its ends, or is no number


@dataclass(frozen=True, eq=False)
class Tiles(_Drawn):
    """Rows of square patches with receptive-field boxes and values (Girshick et al. 2014, figure 3)."""

    kind: ClassVar[str] = "tiles"
    title: str
    rows: tuple[TileRow, ...]
    caption: str
    tile_side: float = 112  # CSS px
    value_name: str = "activation"  # what the number in the corner is, with its unit
    smooth: bool = True  # False: cells of maps and filters stay cells at any size
    empty: str = "no image made this unit fire"  # words of a row without tiles
    written: bool = True  # False: the tiles' values are in the numbers, not on the tiles
    scale: Scale | None = None

    def numbers(self) -> dict[str, Any]:
        """Value, box and footer of each tile, by row."""
        rows = []
        for row in self.rows:
            tiles = [
                {"value": one.value, "box": one.box, "footer": one.footer, "size": one.pixels.shape[:2]}
                for one in row.tiles
            ]
            head = {"title": row.title, "subtitle": row.subtitle, "control": row.control}
            rows.append(head | {"tiles": tiles})
        found = {"value": self.value_name, "box": "top, left, bottom, right (tile px)", "rows": plain(rows)}
        if self.scale is not None:
            found["colours"] = plain({"limits": self.scale.limits, "signed": self.scale.signed})
        return found

    def _draw(self, scale: float, palette: Palette) -> Image.Image:
        rows = self.rows
        if not self.written:
            rows = tuple(replace(row, tiles=tuple(replace(tile, value=None) for tile in row.tiles)) for row in rows)
        picture = TileLayout(self.tile_side, self.value_name, self.smooth, self.empty).draw(rows, scale, palette)
        if self.scale is None:
            return picture
        ends, signed, values = self.scale.limits, self.scale.signed, self.scale.values
        width, height = picture.width / scale, max(picture.height / scale, 112.0)
        canvas = Canvas(width + pixels.colour_bar_width(self.value_name, ends), height, scale, palette)
        canvas.paste(picture, 0, 0)
        pixels.draw_colour_bar(canvas, width, min(height, BAR), ends, signed, self.value_name, values)
        return canvas.image


class Windows(NamedTuple):
    """Where a window stood, px of the image: every top with every left; a map's cells lie in the same order."""

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Overlay(_Drawn):
    """An image; on it boxes with labels, or a heat map half-transparent over the image in grey."""

    kind: ClassVar[str] = "image"
    title: str
    image: Pixels
    caption: str
    heat: Values | None = None  # rows × columns
    heat_box: Box | None = None  # where the heat lies, px of the image; None: all over it
    name: str = ""  # the heat's quantity
    unit: str = ""
    signed: bool = False
    limits: Limits | None = None
    boxes: tuple[tuple[Box, str], ...] = ()  # px of the image
    side: float = 400.0  # of the longer side, CSS px; the image is at the picture's upper left
    positions: Windows | None = None  # of the heat's cells, so that a page can turn a click into a window

    def __post_init__(self) -> None:
        check_picture(self.image)
        require(self.heat is None or self.heat.ndim == 2, "a heat map has rows and columns")

    def numbers(self) -> dict[str, Any]:
        """The heat with its place and colour limits, and the boxes."""
        limits = None
        if self.heat is not None:
            limits = pixels.colour_limits(self.heat, self.signed, self.limits)
        boxes = [{"box": box, "label": label} for box, label in self.boxes]
        size, place = self.image.shape[:2], "top, left, bottom, right (image px)"
        heat = {"quantity": self.name, "unit": self.unit, "signed": self.signed, "limits": limits}
        heat |= {
            "values": self.heat,
            "heat_box": self.heat_box,
            "box": place,
            "boxes": boxes,
            "image_size": size,
        }
        if self.positions is not None:
            heat |= {"positions": self.positions._asdict(), "side": self.side}
        return dict(plain(heat))

    def _draw(self, scale: float, palette: Palette) -> Image.Image:
        heat = self.heat if self.heat is not None and self.heat.size else None
        name = with_unit(self.name, self.unit)
        return pixels.draw_overlay(
            self.image, heat, self.heat_box, self.signed, self.limits, name, self.boxes, scale, palette, self.side
        )


@dataclass(frozen=True, eq=False)
class HeatMap(_Drawn):
    """Numbers on a grid as exact cells beside their colour bar; NaN hatched."""

    kind: ClassVar[str] = "heat map"
    title: str
    values: Values  # rows × columns
    caption: str
    name: str = ""
    unit: str = ""
    signed: bool = False
    limits: Limits | None = None
    row_label: str = ""
    column_label: str = ""

    def __post_init__(self) -> None:
        require(self.values.ndim == 2, f"a heat map has rows and columns, not the shape {self.values.shape}")

    def numbers(self) -> dict[str, Any]:
        """All values with quantity, unit and colour limits."""
        limits = pixels.colour_limits(self.values, self.signed, self.limits)
        heat = {"quantity": self.name, "unit": self.unit, "signed": self.signed, "limits": limits}
        return dict(plain(heat | {"rows": self.row_label, "columns": self.column_label, "values": self.values}))

    def _draw(self, scale: float, palette: Palette) -> Image.Image:
        name, labels = with_unit(self.name, self.unit), (self.row_label, self.column_label)
        return charts.draw_heat_map(self.values, self.signed, self.limits, name, labels, scale, palette)


@dataclass(frozen=True, eq=False)
class Curve(_Drawn):
    """Lines named at their ends, or a histogram's bars."""

    kind: ClassVar[str] = "curve"
    title: str
    series: tuple[Series, ...]
    x_label: str
    y_label: str
    caption: str
    log_x: bool = False
    log_y: bool = False
    style: Literal["line", "bars"] = "line"

    def __post_init__(self) -> None:
        for one in self.series:
            fits = one.x.size - one.y.size in ((0, 1) if self.style == "bars" else (0,))
            require(fits, f"the series {one.name!r} has {one.x.size} x and {one.y.size} y")

    def numbers(self) -> dict[str, Any]:
        """Every point of every series, with its bounds."""
        series = [
            {
                "name": one.name,
                "control": one.control,
                "x": one.x,
                "y": one.y,
                "low": one.low,
                "high": one.high,
            }
            for one in self.series
        ]
        axes = {"x": self.x_label, "y": self.y_label, "log_x": self.log_x, "log_y": self.log_y}
        return dict(plain(axes | {"style": self.style, "series": series}))

    def _draw(self, scale: float, palette: Palette) -> Image.Image:
        labels, log = (self.x_label, self.y_label), (self.log_x, self.log_y)
        return charts.draw_curve(self.series, labels, log, self.style == "bars", scale, palette)


@dataclass(frozen=True, eq=False)
class Table(_Drawn):
    """Rows of words and numbers; the picture shows the first 24, the numbers hold all."""

    kind: ClassVar[str] = "table"
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str

    def __post_init__(self) -> None:
        for row in self.rows:
            require(len(row) == len(self.columns), f"{len(self.columns)} columns, but a row of {len(row)}")

    def numbers(self) -> dict[str, Any]:
        """The columns with their units, and all rows."""
        columns = [{"name": column.name, "unit": column.unit, "align": column.align} for column in self.columns]
        return dict(plain({"columns": columns, "rows": self.rows}))

    def _draw(self, scale: float, palette: Palette) -> Image.Image:
        return charts.draw_table(self.columns, self.rows, scale, palette)


@dataclass(frozen=True, eq=False)
class Scatter(_Drawn):
    """Points, or thumbnails at their positions (y upwards), or a grid of thumbnails (x column, y row)."""

    kind: ClassVar[str] = "scatter"
    title: str
    x: Values  # (n,)
    y: Values  # (n,)
    caption: str
    labels: tuple[str, ...] | None = None
    values: Values | None = None  # (n,) the points' colours, as magnitudes
    value_name: str = ""
    kinds: tuple[str, ...] | None = None  # (n,) or their colours by kind: at most ten of them
    thumbnails: tuple[Pixels, ...] | None = None
    grid: bool = False
    x_label: str = ""  # without both labels the axes mean nothing, and none are drawn
    y_label: str = ""

    def __post_init__(self) -> None:
        given = (self.x, self.y, self.labels, self.values, self.kinds, self.thumbnails)
        lengths = [len(one) for one in given if one is not None]
        require(len(set(lengths)) == 1, f"x, y and what belongs to them have the lengths {lengths}")
        finite = bool(np.isfinite(self.x).all() and np.isfinite(self.y).all())
        require(finite or self.thumbnails is None, "a thumbnail has no finite place")

    def numbers(self) -> dict[str, Any]:
        """Every point with its label and value."""
        found = {"grid": self.grid, "x": self.x, "y": self.y, "labels": self.labels, "kinds": self.kinds}
        found |= {"values": self.values, "value": self.value_name}
        return dict(plain(found | {"x_label": self.x_label, "y_label": self.y_label}))

    def _draw(self, scale: float, palette: Palette) -> Image.Image:
        if self.thumbnails is not None:
            return pixels.draw_thumbnails(self.x, self.y, self.thumbnails, self.grid, scale, palette)
        if self.kinds is not None:
            return points.draw_kinds(self.x, self.y, self.kinds, scale, palette)
        names, labels = self.labels or (), (self.x_label, self.y_label)
        return charts.draw_scatter(self.x, self.y, names, labels, self.values, self.value_name, scale, palette)
