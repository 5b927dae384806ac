"""Thousands of points in the plane, coloured by what they are."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from convscope.render.fonts import Canvas, Palette, ellipsize
from convscope.render.pixels import Values

SIDE, LEGEND = 640.0, 190.0  # CSS px of the map, and of the names beside it
OTHERS = "others"  # the kind that is drawn in grey, below all others
COLOURS = (
    (230, 131, 16), (47, 118, 200), (35, 150, 90), (204, 68, 75), (128, 86, 178),
    (120, 160, 40), (200, 90, 150), (30, 160, 175), (140, 96, 64), (212, 172, 20),
)  # fmt: skip
GREY = (150, 150, 150)


def draw_kinds(x: Values, y: Values, kinds: Sequence[str], scale: float, palette: Palette) -> Image.Image:
    """Points (y upwards) of equal units, most frequent kinds first in the legend, with their counts."""
    counts = Counter(kinds)
    names = sorted((one for one in counts if one != OTHERS), key=lambda one: (-counts[one], one))
    hues = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)} | {OTHERS: GREY}
    reach = max(float(np.ptp(x)), float(np.ptp(y))) or 1.0
    radius = float(np.clip(60 / max(len(x), 1) ** 0.5, 1.1, 5.0))
    inner = SIDE - 2 * radius
    left = radius + (x - (x.min() + x.max()) / 2) / reach * inner + inner / 2
    top = radius - (y - (y.min() + y.max()) / 2) / reach * inner + inner / 2
    canvas = Canvas(SIDE + LEGEND, SIDE, scale, palette)
    canvas.paste(cloud(left, top, [hues[one] for one in kinds], radius, scale, canvas.image), 0, 0)
    pen = ImageDraw.Draw(canvas.image)
    for at, name in enumerate([*names, *([OTHERS] if OTHERS in counts else [])]):
        height, dot = 12 + 22 * at, 5.0
        box = [(SIDE + 16) * scale, (height - dot) * scale, (SIDE + 16 + 2 * dot) * scale, (height + dot) * scale]
        pen.ellipse(box, fill=hues[name])
        words = ellipsize(name, 13, LEGEND - 90)
        canvas.text(SIDE + 34, height + 4.5, f"{words}  {counts[name]:,}", 13, palette.ink)
    return canvas.image


def cloud(
    left: Values, top: Values, hues: Sequence[tuple[int, int, int]], radius: float, scale: float, paper: Image.Image
) -> Image.Image:
    """Discs on paper, grey ones below and rare ones on top, at four times the resolution and made smaller."""
    factor = 2 * scale
    size = round(SIDE * factor)
    picture = Image.new("RGB", (size, size), paper.getpixel((0, 0)))
    pen, reach = ImageDraw.Draw(picture), radius * factor
    counts = Counter(hues)
    for at in sorted(range(len(hues)), key=lambda at: (hues[at] != GREY, -counts[hues[at]], at)):
        own = reach * 2.2 if counts[hues[at]] == 1 else reach  # a single one is seen
        column, row = float(left[at]) * factor, float(top[at]) * factor
        pen.ellipse([column - own, row - own, column + own, row + own], fill=hues[at])
    return picture.resize((round(SIDE * scale), round(SIDE * scale)), Image.Resampling.BOX)
