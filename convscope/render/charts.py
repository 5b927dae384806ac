"""Charts: heat map, table, curves and scatter, each as a Pillow image.

Sizes are CSS px. Cells, bars and tables are drawn with Pillow, so that each cell is one exact colour; axes
with matplotlib's objects, never pyplot. matplotlib is imported when the first axes are drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.render import fonts
from convscope.render.fonts import (
    Canvas,
    Cell,
    Palette,
    column_texts,
    draw_words,
    ellipsize,
    matplotlib_font,
    text_width,
    with_unit,
)
from convscope.render.pixels import (
    Limits,
    Values,
    colour,
    colour_bar_width,
    colour_limits,
    draw_colour_bar,
    heat_pixels,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Series:
    """One line of a curve; low and high bound a band; NaN leaves a gap."""

    name: str
    x: NDArray[Any]  # (n,); for bars the n centres or the n + 1 edges
    y: NDArray[Any]  # (n,)
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None
    control: bool = False


@dataclass(frozen=True)
class Column:
    """The head of a table's column; aligned "auto", numbers stand right and words left."""

    name: str
    unit: str = ""
    align: Literal["auto", "left", "right"] = "auto"


def draw_heat_map(
    values: Values,
    signed: bool,
    limits: Limits | None,
    name: str,
    labels: tuple[str, str],
    scale: float,
    palette: Palette,
) -> Image.Image:
    """Equal cells, the longer side 400 px at most, beside their colour bar; labels of rows and columns."""
    rows, columns = values.shape
    if not values.size:
        return draw_words("the map is empty", scale, palette)
    cell = min(400 / max(rows, columns), 56.0)
    cell = float(int(cell)) if cell >= 1 else min(cell, 0.5)
    width, height = max(cell * columns, 12.0), max(cell * rows, 12.0)
    left, below = (22.0 if labels[0] else 0.0), (24.0 if labels[1] else 0.0)
    ends = colour_limits(values, signed, limits)
    bar_height = max(height, 112.0)
    canvas = Canvas(left + width + colour_bar_width(name, ends), max(bar_height, height + below), scale, palette)
    pixels = heat_pixels(values, signed, ends, (round(height * scale), round(width * scale)), scale)
    canvas.paste(pixels, left, 0)
    draw_colour_bar(canvas, left + width, bar_height, ends, signed, name, values)
    if labels[1]:
        canvas.text(left + width / 2, height + 17, ellipsize(labels[1], 12, width), 12, palette.grey, at="m")
    if labels[0]:
        strip = Image.new("RGB", (round(height * scale), round(16 * scale)), palette.paper)
        text, font = ellipsize(labels[0], 12, height), fonts.pillow_font(12 * scale)
        ImageDraw.Draw(strip).text((strip.width / 2, 12 * scale), text, palette.grey, font, anchor="ms")
        canvas.paste(strip.transpose(Image.Transpose.ROTATE_90), 0, 0)
    return canvas.image


def draw_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], scale: float, palette: Palette, limit: int = 24
) -> Image.Image:
    """Three hairlines and aligned columns; at most limit rows, and how many more there are."""
    texts, widths, rights = [], [], []
    for index, column in enumerate(columns):
        cells, numeric = column_texts(rows, index)
        heading = with_unit(column.name, column.unit)
        texts.append([ellipsize(text, 13, 280) for text in cells[:limit]])
        widths.append(max(text_width(heading, 12), *(text_width(text, 13) for text in ["", *texts[-1]])))
        rights.append(column.align == "right" or (column.align == "auto" and numeric))
    shown, more = min(len(rows), limit), len(rows) - limit
    note = "no rows" if not rows else f"… {more:,} more rows" if more > 1 else "… 1 more row" if more == 1 else ""
    width = max(sum(widths) + 28 * max(len(columns) - 1, 0), 160.0)
    canvas = Canvas(width, 27 + 24 * (shown + bool(note)) + 4, scale, palette)
    canvas.line(0, 25, width, 25, palette.grey)
    edge = 0.0
    for index, column in enumerate(columns):
        at, x = ("r", edge + widths[index]) if rights[index] else ("l", edge)
        canvas.text(x, 16, with_unit(column.name, column.unit), 12, palette.grey, at=at)
        for row, text in enumerate(texts[index]):
            canvas.text(x, 27 + 24 * row + 17, text, 13, at=at)
        edge += widths[index] + 28
    for row in range(1, shown + bool(note)):
        canvas.line(0, 27 + 24 * row, width, 27 + 24 * row)
    if note:
        canvas.text(0, 27 + 24 * shown + 17, note, 13, palette.grey)
    canvas.line(0, 29 + 24 * (shown + bool(note)), width, 29 + 24 * (shown + bool(note)), palette.grey)
    return canvas.image


def new_axes(width: float, height: float, scale: float, palette: Palette) -> tuple["Figure", "Axes"]:
    """A figure of that size on paper, with one quiet pair of axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 96, height / 96), dpi=96 * scale, facecolor=palette.paper)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), facecolor=palette.paper)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=palette.hairline, linewidth=0.6)
    return figure, axes


def finish_axes(figure: "Figure", axes: "Axes", x_label: str, y_label: str, right: float, palette: Palette) -> None:
    """Ticks, labels and margins (right in CSS px); the y label lies above its axis, to be read level."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    width, height = figure.get_size_inches() * 96
    for axis, log in ((axes.xaxis, axes.get_xscale() == "log"), (axes.yaxis, axes.get_yscale() == "log")):
        if not log:
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(fonts.format_tick))
        axis.set_minor_formatter(NullFormatter())
        axis.set_tick_params(which="both", color=palette.hairline, width=0.6, labelcolor=palette.grey)
        for label in axis.get_ticklabels():
            label.set_fontproperties(matplotlib_font(9))
    axes.yaxis.grid(True, color=palette.hairline, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.set_position((0.1, 48 / height, 0.8, 1 - 80 / height))
    box = axes.yaxis.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    left = 12 + (box.width / figure.dpi * 96 if box else 0)
    axes.set_position((left / width, 48 / height, (width - left - right) / width, 1 - 80 / height))
    style: dict[str, Any] = {"color": palette.grey, "fontproperties": matplotlib_font(9), "parse_math": False}
    figure.text(1 / width, 1 - 14 / height, fonts.printable(y_label), va="baseline", **style)
    figure.text((left + width - right) / 2 / width, 10 / height, fonts.printable(x_label), ha="center", **style)


def pixels_of(figure: "Figure") -> Image.Image:
    """The drawn figure as an RGB image."""
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())  # type: ignore[attr-defined]


def _spread(wanted: list[float], gap: float) -> list[float]:
    """Heights in [0, 1] near the wanted ones, in their order, apart by gap (less if there is no room)."""
    gap = min(gap, 1 / max(len(wanted) - 1, 1))
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    level = np.clip(np.asarray(wanted)[order] - steps, 0, 1 - steps[-1])
    upwards, downwards = np.maximum.accumulate(level), np.minimum.accumulate(level[::-1])[::-1]
    places = np.empty(len(wanted))
    places[order] = (upwards + downwards) / 2 + steps
    return [float(place) for place in places]


def draw_curve(
    series: Sequence[Series],
    labels: tuple[str, str],
    log: tuple[bool, bool],
    bars: bool,
    scale: float,
    palette: Palette,
) -> Image.Image:
    """Lines (or bars) named at their ends in their own colour; controls grey and dashed; bands for bounds."""
    drawn = [one for one in series if np.isfinite(one.y).any()]
    if not drawn:
        return draw_words("no values to draw", scale, palette)
    figure, axes = new_axes(640, 320, scale, palette)
    axes.set_xscale("log" if log[0] and any((one.x > 0).any() for one in drawn) else "linear")
    axes.set_yscale("log" if log[1] and any((one.y > 0).any() for one in drawn) else "linear")
    plain = iter(palette.lines * len(drawn))
    colours = [palette.grey if one.control else next(plain) for one in drawn]
    for one, hue in zip(drawn, colours, strict=True):
        style: dict[str, Any] = {
            "color": hue,
            "linewidth": 1.4,
            "linestyle": (0, (4, 2)) if one.control else "-",
        }
        if bars:
            half = np.diff(one.x).min(initial=np.inf) / 2 if one.x.size > 1 else 0.5
            edges = one.x if one.x.size == one.y.size + 1 else np.append(one.x - half, one.x[-1] + half)
            if not one.control:
                alpha = 0.85 if len(drawn) == 1 else 0.16
                axes.stairs(np.nan_to_num(one.y), edges, fill=True, color=hue, alpha=alpha, linewidth=0)
            axes.stairs(np.nan_to_num(one.y), edges, **(style | {"linewidth": 1.0}))
            continue
        marker = "o" if np.isfinite(one.y).sum() == 1 else ""
        axes.plot(one.x, one.y, marker=marker, markersize=4, solid_capstyle="round", **style)
        if one.low is not None and one.high is not None:
            axes.fill_between(one.x, one.low, one.high, color=hue, alpha=0.14, linewidth=0)
    if axes.get_xscale() == "linear" and not bars:
        axes.margins(x=0.02)
    names = [ellipsize(one.name, 12, 180) for one in drawn]
    right = 16 + max(text_width(name, 12) for name in names)
    finish_axes(figure, axes, labels[0], labels[1], right, palette)
    ends = [float(one.y[np.isfinite(one.y)][-1]) for one in drawn]
    middle = [axes.transAxes.inverted().transform(axes.transData.transform((one.x[-1], end)))[1]
              for one, end in zip(drawn, ends, strict=True)]  # fmt: skip
    if bars:
        middle = [1 - 0.07 * index for index in range(len(drawn))]
    heights = _spread([float(np.nan_to_num(place)) for place in middle], 16 / 240)
    for name, hue, y in zip(names, colours, heights, strict=True):
        style = {"color": hue, "fontproperties": matplotlib_font(9), "parse_math": False}
        axes.text(1 + 8 / (640 - right), y, name, va="center_baseline", transform=axes.transAxes, **style)
    return pixels_of(figure)


def draw_scatter(
    x: Values, y: Values, names: Sequence[str], labels: tuple[str, str], values: Values | None, name: str,
    scale: float, palette: Palette,
) -> Image.Image:  # fmt: skip
    """Points; named if 40 or fewer; without axis labels a map, of equal units and no axes."""
    if not x.size:
        return draw_words("no points to draw", scale, palette)
    size = (640, 400) if any(labels) else (560, 560)
    figure, axes = new_axes(*size, scale, palette)
    hues: Any = palette.lines[0] if values is None else colour(values) / 255.0
    area = float(np.clip(4000 / x.size, 3, 26))
    edge = palette.grey if values is not None else palette.paper
    axes.scatter(x, y, s=area, c=hues, linewidths=0.3, edgecolors=edge, alpha=0.9, zorder=3)
    for label, left, height in zip(names if x.size <= 40 else (), x, y, strict=False):
        style: dict[str, Any] = {
            "fontproperties": matplotlib_font(8.5),
            "color": palette.ink,
            "parse_math": False,
        }
        far = left > x.min() + 0.75 * np.ptp(x)
        style |= {"textcoords": "offset points", "ha": "right" if far else "left"}
        axes.annotate(ellipsize(label, 11, 140), (left, height), (-5 if far else 5, 3), **style)
    if any(labels):
        finish_axes(figure, axes, labels[0], labels[1], 12, palette)
    else:
        axes.set(xticks=[], yticks=[], position=(0.002, 0.002, 0.996, 0.996))
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[["left", "bottom"]].set_visible(False)
    picture = pixels_of(figure)
    if values is None:
        return picture
    ends = colour_limits(values, False)
    canvas = Canvas(size[0] + colour_bar_width(name, ends), size[1], scale, palette)
    canvas.paste(picture, 0, 0)
    draw_colour_bar(canvas, size[0], min(size[1], 240), ends, False, name, values)
    return canvas.image
