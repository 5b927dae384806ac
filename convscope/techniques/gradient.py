"""What in an image a class or unit answers to, as signals sent back from it: gradient, deconvnet, guided backprop.

Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, section 3 (arXiv:1312.6034).
Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks, section 2.1 (arXiv:1311.2901).
Springenberg et al. 2015, Striving for Simplicity, section 3.4 (arXiv:1412.6806).
One computation, three rules at the rectifiers: models/backward.py.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, SkipValidation
from torch import Tensor

from convscope.arrays import Box
from convscope.models.backward import Rule, Sent, send_back
from convscope.models.net import Net
from convscope.models.prepared import ImageLike, Prepared, name_of
from convscope.models.starts import address_of, begin, title_of
from convscope.models.targets import Target, is_several
from convscope.models.ten_crops import mean_over_crops
from convscope.technique import SILENT, Result, Watch, checked

Image = Annotated[ImageLike, SkipValidation, Field(description="an image file")]  # net.prepare says what is wrong
Goal = Annotated[
    Target,
    SkipValidation,
    Field(
        description='a class by name or index, a unit "layer:17" (its strongest place) or "layer:17@5,2", or a layer '
        "(its strongest map, whole); default: the most probable class"
    ),
]


@dataclass(frozen=True, eq=False)
class Signals(Result):
    """What results of signals share: where these start, and what of the image can matter to each start."""

    net: str
    image: str  # the file's name; "an array" or the like where there is none
    targets: tuple[str, ...]  # addresses of where the signals start
    names: tuple[str, ...]  # the same as titles
    values: tuple[float, ...]  # the unit's activation there (of a whole map its greatest), or the class's score
    boxes: tuple[Box, ...] = field(repr=False)  # all that can matter, px of the original image
    input_boxes: tuple[Box, ...] = field(repr=False)  # the same in px of the net's input
    prepared: Prepared = field(repr=False)

    @property
    def address(self) -> str:
        """Where the signals start, as a title."""
        return ", ".join(self.names)

    @property
    def box(self) -> Box:
        """All of the original image that can matter (of several targets, to the first), px."""
        return self.boxes[0]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers by name, boxes as (targets, 4)."""
        each = ("targets", "names", "values", "boxes", "input_boxes")
        return super().arrays() | {name: np.array(getattr(self, name)) for name in each}


@dataclass(frozen=True, eq=False)
class Saliency(Signals):
    """How a score, or a unit's activation, changes with each pixel: its gradient, and the size of that."""

    gradient: Float[Tensor, "*targets 3 height width"] = field(repr=False)  # with respect to pixels in [0, 1]
    map: Float[Tensor, "*targets height width"] = field(repr=False)  # the greatest |gradient| of the three colours
    crops: int  # over which the map is the mean; the gradient is that of the image itself

    def lines(self) -> list[list[str]]:
        """Of each target its value, and where its map is greatest."""
        rows = [["target", "value", "greatest |gradient|", "row", "column"]]
        for name, value, one in zip(self.names, self.values, self.map.reshape(-1, *self.map.shape[-2:]), strict=True):
            row, column = divmod(int(one.argmax()), one.shape[1])
            rows.append([name, f"{value:.4g}", f"{float(one.max()):.4g}", str(row), str(column)])
        return rows


@dataclass(frozen=True, eq=False)
class Projection(Signals):
    """A unit's activation, or a class, sent back to the pixels by a deconvnet or by guided backprop."""

    method: Literal["deconvnet", "guided backprop"]
    signal: Float[Tensor, "*targets 3 height width"] = field(repr=False)  # at pixels in [0, 1], 0 outside its box
    rectifiers: tuple[int, ...]  # how many the signal of each target passed

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers by name, boxes as (targets, 4)."""
        return super().arrays() | {"rectifiers": np.array(self.rectifiers)}

    def lines(self) -> list[list[str]]:
        """Of each target its value, how much signal arrives, and the box that it can come from."""
        rows = [["target", "value", "greatest |signal|", "box (top, left, bottom, right)"]]
        for number, name in enumerate(self.names):
            one = self.signal.reshape(-1, *self.signal.shape[-3:])[number]
            box = ", ".join(f"{edge:.1f}" for edge in self.boxes[number])
            rows.append([name, f"{self.values[number]:.4g}", f"{float(one.abs().max()):.4g}", box])
        return rows


@checked
def saliency(
    net: Net,
    image: Image,
    target: Goal = None,
    *,
    crops: Annotated[
        Literal[1, 10],
        Field(
            description="1: the image itself; 10: the mean over its corners and centre, enlarged by 8/7, and mirrored"
        ),
    ] = 1,
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> Saliency:
    """How much each pixel changes a class score (or a unit): the greatest |gradient| of its three colours.

    Works on every network. A list of targets gives a map for each. Raises UnreadableImage, BadAddress, UnknownLayer.
    """
    prepared, starts = begin(net, image, target)
    sent = send_back(net, prepared.pixels, starts, "gradient", watch)
    maps = sent.signals.abs().amax(1)
    if crops > 1:
        maps = mean_over_crops(net, prepared.pixels, starts, sent.starts, watch=watch)
    single = not is_several(target)
    return Saliency(
        **shared(net, image, prepared, sent),
        gradient=sent.signals[0] if single else sent.signals,
        map=maps[0] if single else maps,
        crops=crops,
    )


@checked
def deconvnet(
    net: Net, image: Image, target: Goal = None, *, watch: Annotated[Watch, SkipValidation] = SILENT
) -> Projection:
    """A unit's activation sent back to the pixels: only what is above 0 passes each rectifier on the way.

    The signal begins with the activation itself; of a class, with 1. A list of targets gives a signal for each. Raises
    NoRule where activations are no rectifiers, UnreadableImage, BadAddress, UnknownLayer.
    """
    return projection(net, image, target, "deconvnet", watch)


@checked
def guided_backprop(
    net: Net, image: Image, target: Goal = None, *, watch: Annotated[Watch, SkipValidation] = SILENT
) -> Projection:
    """A gradient of which only what is above 0 passes each rectifier, and only where that was active.

    A list of targets gives a signal for each. Raises NoRule where activations are no rectifiers, UnreadableImage,
    BadAddress, UnknownLayer.
    """
    return projection(net, image, target, "guided", watch)


def projection(net: Net, image: ImageLike, target: Target, rule: Rule, watch: Watch) -> Projection:
    """The signals of a rule, as a result."""
    prepared, starts = begin(net, image, target)
    sent = send_back(net, prepared.pixels, starts, rule, watch)
    return Projection(
        method="deconvnet" if rule == "deconvnet" else "guided backprop",
        **shared(net, image, prepared, sent),
        signal=sent.signals if is_several(target) else sent.signals[0],
        rectifiers=sent.rectifiers,
    )


def shared(net: Net, image: ImageLike, prepared: Prepared, sent: Sent) -> dict[str, Any]:
    """What all results of signals say."""
    boxes = tuple(net.input_box(start.address) for start in sent.starts)
    return {
        "net": net.name,
        "image": name_of(image),
        "targets": tuple(address_of(net, start) for start in sent.starts),
        "names": tuple(title_of(net, start) for start in sent.starts),
        "values": sent.values,
        "boxes": tuple(prepared.placement.to_original(box) for box in boxes),
        "input_boxes": boxes,
        "prepared": prepared,
    }
