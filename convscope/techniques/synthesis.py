"""The image that a class or unit answers to most, made by ascending its score: class models.

Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, section 2 (arXiv:1312.6034).
Yosinski et al. 2015, Understanding Neural Networks Through Deep Visualization, section 3 (arXiv:1506.06579).
Olah, Mordvintsev & Schubert 2017, Feature Visualization, Distill (recipe of the code Lucid).
The score is the logit, of a unit what enters its rectifier: behind a rectifier that is at rest nothing would move.
Where nothing moves nevertheless, since rectifiers further down are at rest, a step goes where it would wake them.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, SkipValidation
from torch import Tensor

from convscope.arrays import Box, Place
from convscope.errors import BadAddress
from convscope.models.ascent import Ascent, Recipe
from convscope.models.net import Net
from convscope.models.starts import Start, address_of, by_layer, find_starts, title_of
from convscope.models.targets import Target, is_several, plain
from convscope.technique import SILENT, Result, Watch, checked

STEPS: dict[Recipe, int] = {"fourier": 256, "yosinski": 500, "simonyan": 200}
PREVIEWS = 16  # steps from one preview to the next


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
    unmoved: tuple[str, ...] = ()  # names of those whose score no step changed: their images mean nothing

    @property
    def reason(self) -> str:
        """A sentence on images that mean nothing, "" where there are none."""
        if not self.unmoved:
            return ""
        whose = " and ".join(self.unmoved)
        return f"No step changed the score of {whose}: what leads there stayed at rest, and the image means nothing."

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
        return rows + [[self.reason, "", "", ""]] * bool(self.reason)


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
            unmoved=tuple(
                title_of(net, start)
                for start, row, score in zip(starts, torch.stack(trace, 1), scores, strict=True)
                if bool((row == score).all())
            ),
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
