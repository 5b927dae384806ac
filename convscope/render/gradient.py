"""Signals at the pixels as panels: the image beside what was sent back to it, cropped to what can matter.

Magnitudes are drawn in magma from 0, signed sums over the colours in orange and blue about mid-grey, and the signals of
deconvnet and guided backprop in their own colours about mid-grey, as their papers do.
"""

from math import ceil, floor

import numpy as np
from torch import Tensor

from convscope.arrays import Box
from convscope.models.address import OUTPUT, Address
from convscope.render import pixels
from convscope.render.figure import Panel, Tile, TileRow
from convscope.render.methods import NAMES, PAPERS
from convscope.render.panels import Scale, Tiles
from convscope.render.pixels import Limits, Pixels, Values
from convscope.techniques.gradient import Projection, Saliency, Signals
from convscope.techniques.occlusion import OcclusionMap

SIDE, SEVERAL = 232.0, 168.0  # CSS px of a tile: of one target; of several
DRAWN = 12  # targets at most
QUANTILE = 0.995  # of a map's values: where its colours end, since a few pixels have far more than all others


def saliency_panels(result: Saliency) -> tuple[Panel, ...]:
    """For each target the image, the size of the gradient at each pixel, and its signed sum over the colours."""
    maps, sums = flat(result.map, 2), flat(result.gradient, 3).sum(1)
    one, ends = len(maps) == 1, [(0.0, high_end(values)) for values in maps]
    rows = []
    for number, (values, signed) in enumerate(zip(maps[:DRAWN], sums[:DRAWN], strict=True)):
        box, reach = result.input_boxes[number], high_end(np.abs(signed))
        tiles = (
            Tile(shown_image(result, number), footer="the image"),
            Tile(coloured(values, box, False, ends[number]), footer="greatest |gradient| of the three colours"),
            Tile(coloured(signed, box, True, (-reach, reach)), footer=f"sum over the colours, ± {reach:.3g}"),
        )
        rows.append(TileRow(*head(result, number), tiles))
    crops, whose = "", "its sum over the colours"
    if result.crops > 1:
        crops = f", the mean over {result.crops} crops (corners, centre, mirrored)"
        whose = "the sum over the colours of the image's own gradient, not of the crops'"
    caption = (
        f"{result.net} on {result.image}. How much each pixel changes {'it' if one else 'each target'}: the gradient "
        "with respect to pixels in [0, 1] (Simonyan et al. 2014). In the middle its size, the greatest of red, green "
        f"and blue{crops}: black is 0, the lightest colour {'' if one else 'of each map '}is the {QUANTILE:.1%} "
        f"quantile. Right {whose}: orange where more light raises the target, blue where it lowers it, mid-grey where "
        f"it changes nothing.{dark(result, maps)}{cropped(result)}{left_out(result)}"
    )
    scale = Scale(ends[0], False, maps[0]) if one else None
    return (
        Tiles(
            f"{title(result)}: saliency", tuple(rows), caption, SIDE if one else SEVERAL, "|gradient|", scale=scale,
            smooth=False,
        ),
    )  # fmt: skip


def projection_panels(result: Projection) -> tuple[Panel, ...]:
    """For each target what it can see of the image, and the signal that was sent back to it."""
    signals = flat(result.signal, 3)
    rows = []
    for number, signal in enumerate(signals[:DRAWN]):
        picture = signal_picture(signal, result.input_boxes[number])
        passed = f"{result.method}, {counted(result.rectifiers[number])}"
        tiles = (Tile(shown_image(result, number), footer="the image"), Tile(picture, footer=passed))
        rows.append(TileRow(*head(result, number), tiles))
    caption = (
        f"{result.net} on {result.image}: what is sent back to the pixels ({PAPERS[result.method]}).{begun(result)} "
        f"{on_the_way(result)} Mid-grey is 0; each signal has its own scale, the same for its three colours and both "
        f"signs, up to the {QUANTILE:.1%} quantile of its size."
        f"{dark(result, signals)}{cropped(result)}{left_out(result)}"
    )
    side = SIDE if len(signals) == 1 else SEVERAL
    return (Tiles(f"{title(result)}: {result.method}", tuple(rows), caption, side, "", smooth=True),)


def counted(rectifiers: int) -> str:
    """A number of rectifiers in words."""
    return f"{rectifiers or 'no'} rectifier{'' if rectifiers == 1 else 's'}"


def on_the_way(result: Projection) -> str:
    """How many rectifiers the signals passed, and what it means where that is none."""
    least, most = min(result.rectifiers), max(result.rectifiers)
    nothing = "nothing is stopped" + (": it is the gradient." if result.method == NAMES["guided_backprop"] else ".")
    if most == 0:
        return f"No rectifier lies on the way, so {nothing}"
    if least == most:
        return f"{counted(most)} {'lies' if most == 1 else 'lie'} on the way{' of each' * (len(result.targets) > 1)}."
    return f"{least} to {counted(most)} lie on the way." + ("" if least else f" Where there is none, {nothing}")


def begun(result: Projection) -> str:
    """What a deconvnet's signals begin with."""
    if result.method != NAMES["deconvnet"]:
        return ""
    classes = [Address.parse(one).layer == OUTPUT for one in result.targets]
    if any(classes) and not all(classes):
        return " A unit's signal begins with its activation, a class's with 1."
    return f" It begins with {'1' if all(classes) else 'the activation'}."


def title(result: Signals) -> str:
    """What the signals start at."""
    return result.address if len(result.targets) == 1 else f"{len(result.targets)} targets"


def left_out(result: Signals) -> str:
    """How many targets are not drawn."""
    more = len(result.targets) - DRAWN
    return f" The first {DRAWN} targets are drawn, the other {more} are not." if more > 0 else ""


def map_projection(result: OcclusionMap) -> tuple[Panel, ...]:
    """What is sent back from the whole map of the unit that an occlusion followed; nothing where it has no rule."""
    if result.projection is None:
        return ()
    layer, unit = result.strongest.rsplit(":", 1)
    whole = Box(0, 0, *result.pixels.shape[1:])
    tiles = [Tile(pixels.to_bytes(result.pixels.numpy().transpose(1, 2, 0)), footer="the image")]
    methods = (NAMES["deconvnet"], NAMES["guided_backprop"])
    for method, signal in zip(methods, result.projection.double().numpy(), strict=True):
        tiles.append(Tile(signal_picture(signal, whole), footer=method))
    caption = (
        f"What reaches unit {unit} of {layer}, the strongest of its layer on this image: its whole map sent back to "
        "the pixels (Zeiler & Fergus 2014, figure 7 c). "
        f"Mid-grey is 0, the colours end at the {QUANTILE:.1%} quantile of each one's size."
    )
    return (Tiles(f"unit {unit} of {layer}", (TileRow("", "", tuple(tiles)),), caption, SEVERAL, ""),)


def flat(values: Tensor, axes: int) -> Values:
    """With an axis of targets first, also of one."""
    return values.reshape(-1, *values.shape[-axes:]).double().numpy()


def high_end(values: Values) -> float:
    """Where the colours of magnitudes end."""
    finite = values[np.isfinite(values) & (values > 0)]
    return float(np.quantile(finite, QUANTILE)) if finite.size else 1.0


def head(result: Signals, number: int) -> tuple[str, str]:
    """What stands beside a target's row: the class and its score, or the unit, its layer and its activation."""
    address, value = Address.parse(result.targets[number]), f"{result.values[number]:.3g}"
    if address.layer == OUTPUT:
        return result.names[number], f"score {value}"
    return f"unit {address.unit}: {value}", address.layer


def shown_image(result: Signals, number: int) -> Pixels:
    """What of the original image can matter to a target; all of it as the net saw it where that is everything."""
    if is_all(result, number):
        return pixels.to_bytes(result.prepared.pixels[0].cpu().numpy().transpose(1, 2, 0))
    return touched(result.prepared.original, result.boxes[number])


def touched(picture: Pixels, box: Box) -> Pixels:
    """All pixels of an H×W×3 picture that a box touches, at least one, also of a box without an area at its edge."""
    height, width = picture.shape[:2]
    top, left = min(max(floor(box.top), 0), height - 1), min(max(floor(box.left), 0), width - 1)
    return picture[top : max(ceil(box.bottom), top + 1), left : max(ceil(box.right), left + 1)]


def is_all(result: Signals, number: int) -> bool:
    """Whether the whole input can matter to a target."""
    height, width = result.prepared.pixels.shape[2:]
    return tuple(result.input_boxes[number]) in ((0, 0, height, width), (0, 0, 0, 0))


def cut(values: Values, box: Box) -> Values:
    """The part of …×H×W in a box; all of it where the box has no area."""
    top, left, bottom, right = (round(edge) for edge in box)
    return values[..., top:bottom, left:right] if bottom > top and right > left else values


def coloured(values: Values, box: Box, signed: bool, limits: Limits) -> Pixels:
    """The part of a map in a box, as colours."""
    return pixels.colour(cut(values, box), signed, limits)


def signal_picture(signal: Values, box: Box) -> Pixels:
    """The part of a signal 3×H×W in a box, in its own colours about mid-grey."""
    return about_grey(cut(signal, box))


def about_grey(signal: Values) -> Pixels:
    """A signal 3×h×w in its own colours, 0 being mid-grey, up to the quantile of its size; a dot where it is empty."""
    if not signal.size:
        return np.full((1, 1, 3), 128, np.uint8)
    return pixels.to_bytes((0.5 + signal / (2 * high_end(np.abs(signal)))).transpose(1, 2, 0))


def cropped(result: Signals) -> str:
    """That pictures are cropped."""
    if all(is_all(result, number) for number in range(len(result.targets))):
        return ""
    return " Pictures of units are cropped to all that they can see there, on the original image."


def dark(result: Signals, found: Values) -> str:
    """Which targets nothing was sent back from."""
    names = [name for name, one in zip(result.names, found, strict=False) if not np.any(one)]
    if not names:
        return ""
    what = " and ".join(names)
    return f" Nothing comes back from {what}: it is at rest, at its rectifier's ceiling, or all is stopped on the way."
