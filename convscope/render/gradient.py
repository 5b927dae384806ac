"""Signals at the pixels as panels: the image beside what was sent back to it, cropped to what can matter.

Magnitudes are drawn in magma from 0, signed sums over the colours in orange and blue about mid-grey, and the signals of
deconvnet and guided backprop in their own colours about mid-grey, as their papers do.
"""

import numpy as np
from torch import Tensor

from convscope.arrays import Box
from convscope.models.address import OUTPUT, Address
from convscope.render import pixels
from convscope.render.figure import Panel, Tile, TileRow
from convscope.render.panels import Scale, Tiles
from convscope.render.pixels import Limits, Pixels, Values
from convscope.techniques.gradient import Projection, Saliency
from convscope.techniques.occlusion import OcclusionMap

SIDE, SEVERAL = 232.0, 168.0  # CSS px of a tile: of one target; of several
DRAWN = 12  # targets at most
QUANTILE = 0.995  # of a map's values: where its colours end, since a few pixels have far more than all others
METHODS = {
    "deconvnet": "Zeiler & Fergus 2014: only what is above 0 passes a rectifier",
    "guided backprop": "Springenberg et al. 2015: only what is above 0 passes a rectifier, only where it was active",
}


def saliency_panels(result: Saliency) -> tuple[Panel, ...]:
    """For each target the image, the size of the gradient at each pixel, and its signed sum over the colours."""
    maps, gradients = flat(result.map, 2)[:DRAWN], flat(result.gradient, 3)[:DRAWN].sum(1)
    boxes, side = result.input_boxes, SEVERAL if len(maps) > 1 else SIDE
    ends = tuple((0.0, high_end(one)) for one in maps)
    rows = []
    for number, (values, signed) in enumerate(zip(maps, gradients, strict=True)):
        box, reach = boxes[number], high_end(np.abs(signed))
        tiles = (
            Tile(shown_image(result, number), footer="the image"),
            Tile(coloured(values, box, False, ends[number]), footer="greatest |gradient| of the three colours"),
            Tile(coloured(signed, box, True, (-reach, reach)), footer="sum of the gradient over the colours"),
        )
        rows.append(TileRow(*head(result, number), tiles))
    crops = "" if result.crops == 1 else f", the mean over {result.crops} crops (corners, centre, mirrored)"
    one = len(maps) == 1
    caption = (
        f"{result.net} on {result.image}. How much each pixel changes {'it' if one else 'each target'}: the gradient "
        "with respect to pixels in [0, 1] (Simonyan et al. 2014). In the middle its size, the greatest of red, green "
        f"and blue{crops}: black is 0, the lightest colour {'' if one else 'of each map '}is the {QUANTILE:.1%} "
        "quantile. Right: orange where more light raises the target, blue where it lowers it, mid-grey where it "
        f"changes nothing.{dark(result, maps)}{cropped(result)}"
    )
    scale = Scale(ends[0], False, maps[0]) if one else None
    return (
        Tiles(
            f"{result.address if one else f'{len(maps)} targets'}: saliency", tuple(rows), caption, side,
            "|gradient|", scale=scale, smooth=False,
        ),
    )  # fmt: skip


def projection_panels(result: Projection) -> tuple[Panel, ...]:
    """For each target what it can see of the image, and the signal that was sent back to it."""
    signals = flat(result.signal, 3)[:DRAWN]
    side = SEVERAL if len(signals) > 1 else SIDE
    rows = []
    for number, signal in enumerate(signals):
        picture = signal_picture(signal, result.input_boxes[number])
        tiles = (Tile(shown_image(result, number), footer="the image"), Tile(picture, footer=result.method))
        rows.append(TileRow(*head(result, number), tiles))
    passed = max(result.rectifiers)
    rectifiers = (
        f"{passed} rectifiers lie on the way." if passed else "No rectifier lies on the way: it is the gradient."
    )
    caption = (
        f"{result.net} on {result.image}: what is sent back to the pixels ({METHODS[result.method]}). {rectifiers} "
        f"Mid-grey is 0; each signal has its own scale, the same for its three colours and both signs, up to the "
        f"{QUANTILE:.1%} quantile of its size."
        f"{dark(result, signals)}{cropped(result)}"
    )
    who = result.address if len(rows) == 1 else f"{len(rows)} targets"
    return (Tiles(f"{who}: {result.method}", tuple(rows), caption, side, "", smooth=True),)


def map_projection(result: OcclusionMap) -> tuple[Panel, ...]:
    """What is sent back from the whole map of the unit that an occlusion followed; nothing where it has no rule."""
    if result.projection is None:
        return ()
    layer, unit = result.strongest.rsplit(":", 1)
    whole = Box(0, 0, *result.pixels.shape[1:])
    tiles = [Tile(pixels.to_bytes(result.pixels.numpy().transpose(1, 2, 0)), footer="the image")]
    for method, signal in zip(METHODS, result.projection.double().numpy(), strict=True):
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


def head(result: Saliency | Projection, number: int) -> tuple[str, str]:
    """What stands beside a target's row: the class and its score, or the unit, its layer and its activation."""
    address, value = Address.parse(result.targets[number]), f"{result.values[number]:.3g}"
    if address.layer == OUTPUT:
        return result.names[number], f"score {value}"
    return f"unit {address.unit}: {value}", address.layer


def shown_image(result: Saliency | Projection, number: int) -> Pixels:
    """What of the original image can matter to a target; all of it as the net saw it where that is everything."""
    box = result.boxes[number]
    if is_all(result, number):
        return pixels.to_bytes(result.prepared.pixels[0].cpu().numpy().transpose(1, 2, 0))
    top, left, bottom, right = (round(edge) for edge in box)
    return result.prepared.original[top : max(bottom, top + 1), left : max(right, left + 1)]


def is_all(result: Saliency | Projection, number: int) -> bool:
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


def cropped(result: Saliency | Projection) -> str:
    """That pictures are cropped."""
    if all(is_all(result, number) for number in range(len(result.targets))):
        return ""
    return " Pictures of units are cropped to all that they can see there, on the original image."


def dark(result: Saliency | Projection, found: Values) -> str:
    """Which targets nothing was sent back from."""
    names = [name for name, one in zip(result.names, found, strict=False) if not np.any(one)]
    if not names:
        return ""
    what = " and ".join(names)
    return f" Nothing comes back from {what}: it is at rest, at its rectifier's ceiling, or all is stopped on the way."
