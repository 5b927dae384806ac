"""The gradient methods side by side: what one class or unit answers to, by gradient, deconvnet and guided backprop.

Springenberg et al. 2015, Striving for Simplicity, figures 1 and 3 (arXiv:1412.6806): one image, one start, three rules.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, SkipValidation
from torch import Tensor

from convscope.arrays import Box
from convscope.errors import BadAddress, NoRule
from convscope.models.backward import RULES, Method, send_back
from convscope.models.net import Net
from convscope.models.prepared import ImageLike, Prepared, name_of
from convscope.models.starts import address_of, begin, title_of
from convscope.models.targets import Single, is_several
from convscope.technique import SILENT, Result, Watch, checked


@dataclass(frozen=True, eq=False)
class GradientMethods(Result):
    """The signals of several methods from one start on one image, each of them begun with 1."""

    net: str
    image: str  # the file's name; "an array" or the like where there is none
    target: str  # address of where the signals start
    name: str  # the same as a title
    value: float  # the class's score, or the unit's activation
    methods: tuple[Method, ...]
    refused: tuple[str, ...]  # why a method is left out
    signals: Float[Tensor, "methods 3 height width"] = field(repr=False)  # at pixels in [0, 1], 0 outside the box
    rectifiers: int  # how many the signals passed
    box: Box = field(repr=False)  # all that can matter, px of the original image
    input_box: Box = field(repr=False)  # the same in px of the net's input
    prepared: Prepared = field(repr=False)

    @property
    def address(self) -> str:
        """Where the signals start, as a title."""
        return self.name

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers by name."""
        boxes = {"box": np.array(self.box), "input_box": np.array(self.input_box)}
        return super().arrays() | {"methods": np.array(self.methods)} | boxes

    def lines(self) -> list[list[str]]:
        """Of each method how much comes back: the greatest size, and the shares that are negative and zero."""
        rows = [["method", "greatest |signal|", "below 0", "exactly 0"]]
        for method, signal in zip(self.methods, self.signals, strict=True):
            shares = [f"{float(one.double().mean()):.1%}" for one in (signal < 0, signal == 0)]
            rows.append([method, f"{float(signal.abs().max()):.4g}", *shares])
        return rows


@checked
def gradient_methods(
    net: Net,
    image: Annotated[ImageLike, SkipValidation, Field(description="an image file")],
    target: Annotated[
        Single | None,
        SkipValidation,
        Field(
            description='a class by name or index, a unit "layer:17" (its strongest place) or "layer:17@5,2"; default: '
            "the most probable class"
        ),
    ] = None,
    *,
    methods: Annotated[tuple[Method, ...], Field(min_length=1, description="in the order of their rows")] = (
        "saliency", "deconvnet", "guided_backprop",
    ),
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> GradientMethods:  # fmt: skip
    """Gradient, deconvnet and guided backprop of one class or unit, side by side on one scale.

    All signals begin with 1, also a deconvnet's, so that their sizes can be compared. Methods without a
    rule on this network are left out, and why is said. Raises UnreadableImage, BadAddress, UnknownLayer; NoRule where
    no method is left.
    """
    if is_several(target):
        raise BadAddress("methods are compared for one target", "ask for one after the other")
    prepared, starts = begin(net, image, target)
    found, refused = dict[Method, Tensor](), list[str]()
    for done, method in enumerate(chosen := tuple(dict.fromkeys(methods))):
        try:
            sent = send_back(net, prepared.pixels, starts, RULES[method], ones=True)
        except NoRule as error:
            refused.append(error.problem)
        else:
            start, value, passed = sent.starts[0], sent.values[0], sent.rectifiers[0]
            found[method] = sent.signals[0]
        watch.progress(done + 1, len(chosen), "methods")
    if not found:
        raise NoRule(refused[0], 'methods=("saliency",) works on every network')
    box = net.input_box(start.address)
    return GradientMethods(
        net=net.name,
        image=name_of(image),
        target=address_of(net, start),
        name=title_of(net, start),
        value=value,
        methods=tuple(found),
        refused=tuple(refused),
        signals=torch.stack(list(found.values())),
        rectifiers=passed,
        box=prepared.placement.to_original(box),
        input_box=box,
        prepared=prepared,
    )
