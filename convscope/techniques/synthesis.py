"""The image that a class or unit answers to most, made by ascending its score: class models.

Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, section 2 (arXiv:1312.6034).
Yosinski et al. 2015, Understanding Neural Networks Through Deep Visualization, section 3 (arXiv:1506.06579).
Olah, Mordvintsev & Schubert 2017, Feature Visualization, Distill (recipe of the code Lucid).
The score is the logit, of a unit what enters its rectifier: behind a rectifier that is at rest nothing would move.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, SkipValidation
from torch import Tensor

from convscope.arrays import Box, Place
from convscope.errors import BadAddress, BadWeights, NoRule
from convscope.models.backward import Backward
from convscope.models.layers import Layer
from convscope.models.net import Net
from convscope.models.slopes import before
from convscope.models.spectrum import Spectrum
from convscope.models.starts import Start, address_of, by_layer, find_starts, title_of
from convscope.models.targets import Target, is_several, plain
from convscope.technique import SILENT, Result, Watch, checked

Recipe = Literal["fourier", "yosinski", "simonyan"]
STEPS: dict[Recipe, int] = {"fourier": 256, "yosinski": 500, "simonyan": 200}
PREVIEWS = 16  # steps from one preview to the next
DECAY, RADIUS, EVERY = 1e-4, 1.0, 4  # Yosinski's: of the image in each step, px of the blur, steps between two
STEP = 2 / 255  # root mean square of a step of the pixels, of both; papers give rates for one network
WEIGHT = 1e-4  # Simonyan's λ, of the squared norm of normalised pixels
LEARNING, JITTER, TURN, GROWTH = 0.05, 12, 10.0, 0.1  # Fourier's: Adam; px of an image of USUAL px, degrees, share
USUAL = 224


@dataclass(frozen=True, eq=False)
class ClassModel(Result):
    """What a class or unit answers to most, as an image."""

    net: str
    targets: tuple[str, ...]  # addresses
    names: tuple[str, ...]  # the same as titles
    recipe: Recipe
    seed: int
    pixels: Float[Tensor, "*targets 3 height width"] = field(repr=False)  # in [0, 1]
    trace: Float[Tensor, "*targets steps"] = field(repr=False)  # the score of what each step was at
    scores: tuple[float, ...]  # of the image as it is
    probabilities: tuple[float, ...]  # of the class; NaN of a unit
    boxes: tuple[Box, ...] = field(repr=False)  # all that the target sees, px of the net's input

    @property
    def address(self) -> str:
        """The classes or units, as a title."""
        return ", ".join(self.names)

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return int(self.trace.shape[-1])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers by name, boxes as (targets, 4)."""
        known = {"targets": self.targets, "names": self.names, "scores": self.scores, "boxes": self.boxes}
        known["probabilities"] = self.probabilities
        return super().arrays() | {name: np.array(value) for name, value in known.items()}

    def lines(self) -> list[list[str]]:
        """Of each target the score at the start and at the end."""
        rows = [["target", "score at the start", "at the end", "probability"]]
        for number, name in enumerate(self.names):
            first = self.trace.reshape(-1, self.steps)[number, 0]
            probability = self.probabilities[number]
            told = "" if math.isnan(probability) else f"{probability:.3g}"
            rows.append([name, f"{float(first):.4g}", f"{self.scores[number]:.4g}", told])
        return rows


@checked
def class_model(
    net: Net,
    target: Annotated[
        Target,
        SkipValidation,
        Field(description='a class by name or index, or a unit "layer:17" (the middle of its map) or "layer:17@5,2"'),
    ],
    *,
    recipe: Annotated[
        Recipe,
        Field(
            description='"fourier": decorrelated frequencies and colours, jittered, turned and scaled (Lucid); '
            '"yosinski": blur and decay; "simonyan": the score minus the squared norm alone, from the mean image'
        ),
    ] = "fourier",
    steps: Annotated[
        int | None, Field(ge=1, le=100_000, description="of ascent; default: 256, 500 of yosinski, 200 of simonyan")
    ] = None,
    seed: Annotated[int, Field(ge=0, lt=2**63, description="of the first image, jitter, turns and scales")] = 0,
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> ClassModel:
    """The image that a class or unit answers to most, by ascent of its score; a list gives several in one batch.

    Previews show it growing; stopping keeps it as it is then. Raises BadAddress, UnknownLayer, BadOption;
    NoRule where the score does not depend on the pixels, BadWeights where it is no number.
    """
    if target is None or (is_several(target) and not len(plain(target))):
        raise BadAddress("a class model is of a class or a unit", 'name one: 259, "pomeranian", "layer:17"')
    with torch.inference_mode(False):  # no gradient could be taken inside one
        return climbed(net, target, recipe, steps or STEPS[recipe], seed, watch)


def climbed(net: Net, target: Target, recipe: Recipe, count: int, seed: int, watch: Watch) -> ClassModel:
    """The class models after so many steps, or as many as were made."""
    starts = [middle(start) for start in find_starts(net, target)]
    layers = by_layer(starts)
    ascents = [Ascent(net, layer, [starts[one] for one in numbers], recipe, seed) for layer, numbers in layers.items()]
    back = torch.tensor([number for numbers in layers.values() for number in numbers]).argsort()
    trace = list[Tensor]()

    def result() -> ClassModel:
        pixels = torch.cat([one.pixels() for one in ascents])[back]
        with torch.no_grad():
            scores = torch.cat([one.scores(one.pixels()) for one in ascents])[back].tolist()
            sure = net.probabilities(pixels).double().cpu()
        known = [start.unit if start.layer.node is net.graph.scores else None for start in starts]
        single = not is_several(target)
        return ClassModel(
            net=net.name,
            targets=tuple(address_of(net, start) for start in starts),
            names=tuple(title_of(net, start) for start in starts),
            recipe=recipe,
            seed=seed,
            pixels=pixels[0] if single else pixels,
            trace=torch.stack(trace, 1)[0] if single else torch.stack(trace, 1),
            scores=tuple(scores),
            probabilities=tuple(
                math.nan if unit is None else float(sure[number, unit]) for number, unit in enumerate(known)
            ),
            boxes=tuple(net.input_box(start.address) for start in starts),
        )

    try:
        for step in range(count):
            trace.append(torch.cat([ascent.step(step) for ascent in ascents])[back])
            done = step + 1
            told = watch.stopped()
            watch.progress(done, count, "steps")
            if told or watch.stopped():
                break
            if done % PREVIEWS == 0 and done < count:
                watch.preview(result())
    except KeyboardInterrupt:
        if not trace:
            raise
        watch.say(f"stopped after {len(trace):,} of {count:,} steps: the image is as it was then")
    return result()


def middle(start: Start) -> Start:
    """A start whose place is known: without one the middle of the map."""
    if start.unit is None:
        raise BadAddress(f"{start.layer.name} is a layer", f'name one of its units: "{start.layer.name}:0"')
    if start.layer.spatial and start.place is None:
        return replace(start, place=Place(start.layer.shape[1] // 2, start.layer.shape[2] // 2))
    return start


class Ascent:
    """Images that climb the scores of units of one layer, all in one batch."""

    def __init__(self, net: Net, layer: Layer, starts: Sequence[Start], recipe: Recipe, seed: int) -> None:
        node = before(layer.node)
        inner = next((one for one in net.layers if one.node is node), layer)
        self.net, self.recipe, self.count = net, recipe, len(starts)
        self.backward = Backward(net, inner)
        self.names = [start.address for start in starts]
        self.cells = [(number, *start.cells) for number, start in enumerate(starts)]
        self.random = torch.Generator().manual_seed(seed)
        mean = torch.tensor(net.preprocess.mean).view(1, 3, 1, 1)
        self.mean = mean.clamp(0, 1)
        if recipe == "fourier":
            self.spectrum = Spectrum(self.count, net.size, seed)
            self.adam = torch.optim.Adam([self.spectrum.coefficients], lr=LEARNING)
        else:
            self.image = self.mean.expand(self.count, 3, *net.size).clone()
            if recipe == "yosinski":  # normal, deviation 10 of 255, about the mean
                noise = torch.randn(1, 3, *net.size, generator=torch.Generator().manual_seed(seed))
                self.image = (self.image + noise * 10 / 255).clamp(0, 1)

    def pixels(self) -> Tensor:
        """N×3×H×W in [0, 1]: the images as they are."""
        return self.spectrum.pixels().detach() if self.recipe == "fourier" else self.image.clone()

    def step(self, number: int) -> Tensor:
        """One step of all images; gives the scores of what it was at, N."""
        if self.recipe == "fourier":
            return self.turned()
        scores, gradient = self.slope(self.image)
        if self.recipe == "yosinski":
            self.image = self.smoothed(gradient, number)
        else:
            self.image = self.shrunk(gradient)
        return scores

    def scores(self, pixels: Tensor) -> Tensor:
        """The score of each image's own unit."""
        values = self.backward.forward(self.backward.prepare(pixels))
        return torch.stack([values[cell] for cell in self.cells])

    def slope(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Scores N, and their gradient with respect to the pixels in [0, 1]."""
        with torch.enable_grad():
            given = pixels.clone().requires_grad_()
            scores = self.scores(given)
            self.check(scores)
            (gradient,) = torch.autograd.grad(scores.sum(), given)
        self.check(scores, gradient)
        return scores.detach().float().cpu(), gradient.float().cpu()

    def check(self, scores: Tensor, gradient: Tensor | None = None) -> None:
        """NoRule where scores do not depend on the pixels; BadWeights where they or their gradient are not finite."""
        if not scores.requires_grad:
            raise NoRule(
                f"the score of {self.names[0]} cannot be climbed: it has no gradient at the pixels",
                "choose a class or unit that is computed from the pixels without counting or comparing",
            )
        each = scores if gradient is None else gradient.flatten(1).sum(1)
        if wrong := [name for name, fine in zip(self.names, each.isfinite().tolist(), strict=True) if not fine]:
            what = "score" if gradient is None else "gradient"
            raise BadWeights(f"the {what} of {wrong[0]} is not finite", "check the network's weights, mean and std")

    def turned(self) -> Tensor:
        """Adam on the spectrum, seen through a random shift, turn and scale: the same for all images of the batch."""
        with torch.enable_grad():
            scores = self.scores(self.seen(self.spectrum.pixels()))
            self.check(scores)
            (gradient,) = torch.autograd.grad(-scores.sum(), self.spectrum.coefficients)
        self.check(scores, gradient)
        self.spectrum.coefficients.grad = gradient
        self.adam.step()
        return scores.detach().float().cpu()

    def seen(self, pixels: Tensor) -> Tensor:
        """Images in a grey margin, shifted, turned and scaled at random."""
        height, width = pixels.shape[2:]
        draw = torch.rand(4, generator=self.random) * 2 - 1
        angle, scale = math.radians(TURN) * float(draw[0]), 1 + GROWTH * float(draw[1])
        jitter = JITTER * min(1, min(height, width) / USUAL)  # a unit of a small image stays in view
        shift = [jitter * float(one) for one in draw[2:]]
        cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
        matrix = torch.tensor(
            [
                [cosine, -sine * height / width, 2 * shift[1] / width],
                [sine * width / height, cosine, 2 * shift[0] / height],
            ]
        )
        grid = F.affine_grid(matrix[None], [1, 3, height, width], align_corners=False)
        inside = F.grid_sample(pixels - 0.5, grid.expand(len(pixels), -1, -1, -1), align_corners=False)
        return inside + 0.5

    def shrunk(self, gradient: Tensor) -> Tensor:
        """Simonyan's step: the score less λ times the squared norm of the pixels as the network is given them."""
        variance = torch.tensor(self.net.preprocess.std).view(1, 3, 1, 1).square()
        slope = gradient - 2 * WEIGHT * (self.image - self.mean) / variance
        return (self.image + STEP * levelled(slope)).clamp(0, 1)

    def smoothed(self, gradient: Tensor, number: int) -> Tensor:
        """Yosinski's step: ascent, decay towards the mean image, now and then a blur."""
        shifted = (self.image - self.mean + STEP * levelled(gradient)) * (1 - DECAY)
        if number % EVERY == EVERY - 1:
            shifted = blurred(shifted, RADIUS)
        return (self.mean + shifted).clamp(0, 1)


def levelled(slope: Tensor) -> Tensor:
    """Each image's gradient with a root mean square of 1."""
    return slope / slope.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Under a Gaussian of so many pixels, edges reflected."""
    reach = math.ceil(3 * deviation)
    places = torch.arange(-reach, reach + 1, dtype=images.dtype)
    line = torch.exp(-places.square() / (2 * deviation**2))
    line = (line / line.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (reach, reach, reach, reach), mode="reflect")
    across = F.conv2d(padded, line, groups=images.shape[1])
    return F.conv2d(across, line.transpose(2, 3), groups=images.shape[1])
