"""The gradient methods as one panel: what each looks like, and all of them on one scale."""

import numpy as np

from convscope.models.address import OUTPUT, Address
from convscope.render import pixels
from convscope.render.figure import Panel, Tile, TileRow
from convscope.render.gradient import QUANTILE, about_grey, cut, high_end
from convscope.render.methods import NAMES, PAPERS
from convscope.render.panels import Scale, Tiles
from convscope.render.pixels import Pixels
from convscope.techniques.comparison import GradientMethods

SIDE = 190.0  # CSS px of a tile


def method_panels(result: GradientMethods) -> tuple[Panel, ...]:
    """A row for each method: the image, the signal in its own colours, its sum over them, the same on one scale."""
    signals = cut(result.signals.double().numpy(), result.input_box)
    sums = signals.sum(1)
    reaches = [high_end(np.abs(one)) if np.any(one) else 0.0 for one in sums]
    end = float(np.median(reaches)) or max(reaches) or 1.0
    rows = []
    for method, signal, total, reach in zip(result.methods, signals, sums, reaches, strict=True):
        own = pixels.colour(total, True, (-(reach or 1.0), reach or 1.0))
        tiles = (
            Tile(seen(result), footer=f"{result.name.split(',')[0]}, {result.value:.3g}"),
            Tile(about_grey(signal), footer="in its own colours"),
            Tile(own, footer=f"sum of the colours, to ± {reach:.3g}"),
            Tile(pixels.colour(total, True, (-end, end)), footer="the sums on one scale", values=total),
        )
        rows.append(TileRow(NAMES[method].capitalize(), "", tiles))
    activation = "activation" if of_unit(result) else "score"
    caption = (
        f"{result.net} on {result.image}: what {result.name} ({activation} {result.value:.3g}) answers to. Beside the "
        f"image a method's signal in its own colours, and the sum over them: orange above 0, blue below, mid-grey 0, "
        f"each up to the {QUANTILE:.1%} quantile of its size. Last the same sums on one scale, which ends at "
        f"± {end:.3g}: every signal begins with 1, so sizes can be compared.{passed(result)}{left_out(result)}"
        f"{silent(result)}"
    )
    title = f"{result.name}: gradient methods"
    scale = Scale((-end, end), True, sums)
    return (Tiles(title, tuple(rows), caption, SIDE, "sum of the signal", scale=scale, smooth=False),)


def passed(result: GradientMethods) -> str:
    """What makes the methods that are there differ."""
    if len(result.methods) < 2:
        return ""
    if not result.rectifiers:
        return " No rectifier lies on the way, so all of them are the gradient."
    lie = "rectifier lies" if result.rectifiers == 1 else "rectifiers lie"
    does = "; ".join(PAPERS[NAMES[method]].partition(": ")[2] + f" ({NAMES[method]})" for method in result.methods)
    return f" {result.rectifiers} {lie} on the way: {does}."


def of_unit(result: GradientMethods) -> bool:
    """Whether the start is a unit of a layer, no class."""
    return Address.parse(result.target).layer != OUTPUT


def left_out(result: GradientMethods) -> str:
    """Why methods are missing."""
    return "".join(f" Left out: {reason}." for reason in result.refused)


def silent(result: GradientMethods) -> str:
    """Methods by which nothing comes back."""
    names = [NAMES[name] for name, one in zip(result.methods, result.signals, strict=True) if not bool(one.any())]
    return f" Nothing comes back by {' and '.join(names)}." if names else ""


def seen(result: GradientMethods) -> Pixels:
    """All of the image that can matter, as the net saw it."""
    return pixels.to_bytes(cut(result.prepared.pixels[0].cpu().numpy(), result.input_box).transpose(1, 2, 0))
