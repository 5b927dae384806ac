"""What hides a part of an image: where it stands, and what it shows instead.

A fill is a colour in [0, 1] before normalisation, the image itself out of focus, or a patch of noise.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import BadOption
from convscope.models.net import Net

Fill = Literal["zero", "mean", "grey", "blur", "noise"] | tuple[float, float, float]
Border = Literal["inside", "cut"]
LONGEST = 7  # digits of a window, and one more
FOCUS = 4  # sides of the window for one standard deviation of the blur


@dataclass(frozen=True, eq=False)
class Positions:
    """Where the occluder stands: every top with every left, half-open, px of the net's input."""

    tops: Int[np.ndarray, " rows"]
    bottoms: Int[np.ndarray, " rows"]
    lefts: Int[np.ndarray, " columns"]
    rights: Int[np.ndarray, " columns"]

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns of positions there are."""
        return len(self.tops), len(self.lefts)


def positions(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], border: Border) -> Positions:
    """All positions of a window on an image of that size, from the upper left on.

    border: "inside": ⌊(size − window) / stride⌋ + 1 an axis, each wholly inside; "cut": as many as it takes to cover
    the image, the last one cut off at the edge, as Captum does. BadOption where the window does not fit.
    """
    check_fit(window, size)
    ends: list[NDArray[np.int64]] = []
    for length, side, step in zip(size, window, stride, strict=True):
        count = (length - side) // step + 1
        if border == "cut":
            count = -(-(length - side) // step) + 1
        starts = np.arange(count) * step
        starts = starts[starts < length]
        ends += [starts, np.minimum(starts + side, length)]
    return Positions(*ends)


def window_sides(window: Any) -> tuple[int, int]:
    """Height and width of 32, (24, 40) or "24x40"; BadOption."""
    parts = re.split("[x×]", window.lower()) if isinstance(window, str) else window
    listed = parts if isinstance(parts, list | tuple) else [parts]
    texts = [str(part).strip() for part in listed]
    if len(texts) not in (1, 2) or not all(
        text.isdecimal() and len(text) < LONGEST and int(text) > 0 for text in texts
    ):
        raise bad_window(
            f"the window {str(window)[:40]!r} is no size", 'one or two numbers of px: 32, (24, 40) or "24x40"'
        )
    return int(texts[0]), int(texts[-1])


def check_fit(window: tuple[int, int], size: tuple[int, int]) -> None:
    """BadOption where a window is larger than an image of that size."""
    if window[0] > size[0] or window[1] > size[1]:
        raise bad_window(
            f"a window of {window[0]}×{window[1]} px does not fit into {size[0]}×{size[1]} px", "choose a smaller one"
        )


def bad_window(problem: str, hint: str) -> BadOption:
    """What is wrong with the option window."""
    error = BadOption(problem, hint)
    error.field = "window"
    return error


@dataclass(frozen=True, eq=False)
class Occluder:
    """What the window shows: a picture that stands still behind it, or a patch that moves with it."""

    pixels: Float[Tensor, "3 height width"]  # in [0, 1]; 3×1×1 for a colour
    moves: bool = False  # whether it is a patch, whose upper left corner is the window's

    def at(
        self,
        rows: Int[Tensor, "positions height"],
        columns: Int[Tensor, "positions width"],
        corner: Int[Tensor, "positions 2"],
    ) -> Float[Tensor, "positions height width 3"]:
        """What it shows at those rows and columns of the image, were the window everywhere; corner: top, left."""
        if self.moves:
            rows, columns = rows - corner[:, :1], columns - corner[:, 1:]
        height, width = self.pixels.shape[1:]
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        return self.pixels.permute(1, 2, 0)[rows[:, :, None], columns[:, None, :]]


def make_occluder(
    net: Net, pixels: Float[Tensor, "1 3 height width"], fill: Fill, window: tuple[int, int], seed: int
) -> Occluder:
    """The occluder of that fill. "blur" is the image itself, its standard deviation a quarter of the window's side.

    "zero" is black, "mean" the net's normalisation mean, "grey" 0.5, "noise" uniform in [0, 1], the same patch at every
    position. BadOption for a colour outside [0, 1].
    """
    from torchvision.transforms.functional import gaussian_blur  # seconds, which `--help` need not wait for

    if fill == "blur":
        deviations = [max(side / FOCUS, 0.5) for side in window]
        kernel = [
            min(2 * int(3 * one) + 1, 2 * side - 1) for one, side in zip(deviations, pixels.shape[2:], strict=True)
        ]
        return Occluder(gaussian_blur(pixels, kernel[::-1], deviations[::-1])[0])
    if fill == "noise":
        generator = torch.Generator().manual_seed(seed)
        return Occluder(torch.rand(3, *window, generator=generator).to(pixels), moves=True)
    colours: dict[str, Sequence[float]] = {"zero": (0, 0, 0), "mean": net.preprocess.mean, "grey": (0.5, 0.5, 0.5)}
    colour = colours[fill] if isinstance(fill, str) else fill
    if not all(0 <= value <= 1 for value in colour):
        raise BadOption(f"the fill {tuple(colour)} is no colour", "red, green and blue are from 0 to 1")
    return Occluder(pixels.new_tensor(colour).view(3, 1, 1))
