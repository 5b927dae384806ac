"""Every map of a layer for one image: which units fire, where, how strongly, and how many stay silent.

Karpathy, CS231n, Understanding and Visualizing Convolutional Neural Networks: Layer activations. Sparsity: Hoyer 2004,
Non-negative matrix factorization with sparseness constraints; the share of zeros as in Hu et al. 2016, Network
trimming (arXiv:1607.03250).
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, SkipValidation
from torch import Tensor

from convscope.arrays import Box, Place
from convscope.errors import BadOption
from convscope.models.address import Address
from convscope.models.layers import SMOOTH, Layer, Receptive
from convscope.models.net import Net
from convscope.models.prepared import ImageLike, name_of
from convscope.store.opened import AtlasStore
from convscope.technique import Result, checked


@dataclass(frozen=True, eq=False)
class Activations(Result):
    """All maps of a layer for an image, exact values, and how they are to be drawn."""

    layer: str
    net: str
    image: str  # the file's name; "an array" or the like where there is none
    kind: str  # the operator: relu, conv2d, linear, …
    quantity: str  # what the values are: activation, or score (logit) of the output
    rectified: bool  # whether the layer is the output of a rectifier
    receptive: Receptive  # what one place sees, px of the net's input
    pixels: Float[Tensor, "3 height width"] = field(repr=False)  # the image as the net saw it, in [0, 1]
    maps: Float[Tensor, "units rows columns"] = field(repr=False)  # a vector has one row and one column
    unit_max: Float[Tensor, " units"] = field(repr=False)  # the greatest finite activation; NaN where none is finite
    fraction_zero: Float[Tensor, " units"] = field(repr=False)  # share of places that are exactly 0
    silent: Bool[Tensor, " units"] = field(repr=False)  # nowhere above 0 on this image
    dead: Bool[Tensor, " units"] = field(repr=False)  # never above 0 on any image of the atlas
    dead_images: int  # how many images the atlas has; 0: no atlas was given, so nothing is said about dead units
    not_finite: int  # how many activations are NaN or infinite; numbers of the layer leave them out
    zeros: float  # share of the layer's activations that are exactly 0
    hoyer: float  # sparsity of the layer: 0 all alike, 1 a single one; NaN where all are 0
    strongest: Address | None  # the layer's greatest activation; None where none is above 0
    strongest_box: Box | None  # what it sees, px of the net's input
    names: tuple[str, ...] = field(repr=False)  # of the units, where they are classes
    shown: tuple[int, ...] = field(repr=False)  # the units to draw, in the order of drawing
    scale: str  # shared or map
    boost: float
    order: str  # number or strength

    @property
    def address(self) -> str:
        """The layer, as a title."""
        return self.layer

    @property
    def resting(self) -> bool:
        """Whether 0 is rest: a unit that is nowhere above 0 then does nothing, behind a ReLU or the like."""
        return self.rectified or self.kind in SMOOTH

    def name(self, unit: int) -> str:
        """What a unit is called: its number, and its class where it has one."""
        return f"{unit} {self.names[unit]}" if self.names else str(unit)

    def state(self, unit: int) -> str:
        """In words: dead on all images of the atlas, silent on this one, or nothing special."""
        words = [f"dead on {self.dead_images} images"] if self.dead[unit] else []
        return ", ".join(words + (["silent"] if self.silent[unit] else []))

    def lines(self) -> list[list[str]]:
        """A line for each unit that is shown, in their order: greatest activation, share of zeros, state."""
        rows = []
        for unit in self.shown:
            numbers = [f"{self.unit_max[unit]:.4g}", f"{100 * self.fraction_zero[unit]:.1f} %"]
            rows.append([self.name(unit), *numbers, self.state(unit)])
        return [["unit", "maximum", "zeros", "state"], *rows]


@checked
def activations(
    net: Net,
    # net.prepare says better than pydantic what is wrong with an image
    image: Annotated[ImageLike, SkipValidation, Field(description="an image file")],
    layer: Annotated[str, Field(description="the name of a layer; `convscope layers` lists them")],
    *,
    scale: Annotated[
        Literal["shared", "map"],
        Field(description='"shared": one colour scale for all maps; "map": each its own, up to its maximum'),
    ] = "shared",
    boost: Annotated[
        float,
        Field(
            ge=1,
            le=1000,
            allow_inf_nan=False,
            description="contrast: the scale ends at the maximum divided by this, and what is above looks alike",
        ),
    ] = 1.0,
    order: Annotated[
        Literal["number", "strength"],
        Field(description='"number": the units as they are numbered; "strength": by their greatest activation'),
    ] = "number",
    units: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], Field(description="draw these units only; default: all")
    ] = (),
    atlas: Annotated[
        Path | None,
        Field(description="the folder of an atlas of this net: units that its images leave dead are marked"),
    ] = None,
) -> Activations:
    """Every map of a layer ("features.3", "layer1.0.relu", "class") for an image; black is zero.

    The options change what is drawn, never the values. Raises UnknownLayer, UnreadableImage, BadOption.
    """
    chosen = net.layer(layer)
    output = chosen.node is net.output_layer.node
    if units and max(units) >= chosen.units:
        raise BadOption(f"{layer} has {chosen.units} units, so {max(units)} is none", f"0 to {chosen.units - 1}")
    dead, dead_images = dead_units(net, chosen, atlas)
    prepared = net.prepare(image)
    with torch.no_grad():
        values = net.outputs(prepared.pixels, [layer])[layer][0].float().cpu()
    maps = values.reshape(len(values), *(values.shape[1:] or (1, 1)))
    unit_max = greatest(maps)
    shares = (maps == 0).double().mean((1, 2))
    peak = strongest(chosen, maps, unit_max)
    numbers = list(dict.fromkeys(units)) or list(range(len(maps)))
    if order == "strength":
        strength = unit_max.nan_to_num(nan=-math.inf)
        numbers.sort(key=lambda unit: -float(strength[unit]))
    return Activations(
        layer=layer,
        net=net.name,
        image=name_of(image),
        kind=chosen.kind,
        quantity="score (logit)" if output else "activation",
        rectified=chosen.rectified,
        receptive=chosen.receptive,
        pixels=prepared.pixels[0].detach().float().cpu(),
        maps=maps,
        unit_max=unit_max,
        fraction_zero=shares.float(),
        silent=(maps <= 0).all(2).all(1),
        dead=dead,
        dead_images=dead_images,
        not_finite=int((~maps.isfinite()).sum()),
        zeros=float(shares.mean()),
        hoyer=hoyer(maps),
        strongest=peak,
        strongest_box=None if peak is None else net.input_box(peak),
        names=tuple(net.labels or ()) if output else (),
        shown=tuple(numbers),
        scale=scale,
        boost=boost,
        order=order,
    )


def greatest(maps: Float[Tensor, "units rows columns"]) -> Float[Tensor, " units"]:
    """The greatest finite value of each map; NaN where none is finite."""
    finite = maps.isfinite()
    found = maps.masked_fill(~finite, -math.inf).amax((1, 2))
    return found.masked_fill(~finite.any(2).any(1), math.nan)


def strongest(
    layer: Layer, maps: Float[Tensor, "units rows columns"], unit_max: Float[Tensor, " units"]
) -> Address | None:
    """Where the layer's greatest activation is, of equal ones the first; None where none is above 0."""
    unit = int(unit_max.nan_to_num(nan=-math.inf).argmax())
    if not unit_max[unit] > 0:
        return None
    place = divmod(int((maps[unit] == unit_max[unit]).flatten().int().argmax()), maps.shape[2])
    return Address(layer.name, unit, Place(*place) if layer.spatial else None)


def hoyer(values: Float[Tensor, "..."]) -> float:
    """(√n − |a|₁ / |a|₂) / (√n − 1) over all finite values: 0 where all are alike, 1 where a single one is not 0."""
    finite = values[values.isfinite()].double().abs()
    finite = finite / finite.max() if len(finite) else finite  # so that no square leaves the range of numbers
    root, length = math.sqrt(len(finite)), float(finite.square().sum().sqrt())
    if len(finite) < 2 or not length > 0:
        return math.nan
    return (root - float(finite.sum()) / length) / (root - 1)


def dead_units(net: Net, layer: Layer, atlas: Path | None) -> tuple[Bool[Tensor, " units"], int]:
    """Which units never rose above 0 on the images of an atlas of the same net, and how many images these are."""
    if atlas is None:
        return torch.zeros(layer.units, dtype=torch.bool), 0
    store = AtlasStore(atlas)
    store.check_net(net.name, net.fingerprint)
    first = layer.alias_of or layer.name
    if first not in store.followed:
        raise BadOption(f"the atlas {atlas} did not follow {first}", f"it followed {', '.join(store.followed)}")
    if not (layer.rectified or layer.kind in SMOOTH) or layer.node is net.output_layer.node:
        raise BadOption(f"{first} is a {layer.kind}: below 0 its units still speak", "units are dead behind a ReLU")
    active = torch.from_numpy(store.of_layer(first, "vitals/active_images").copy())
    return active == 0, len(store.images)
