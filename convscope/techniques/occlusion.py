"""What the network's answer rests on: how it changes as a square hides each place of the image.

Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks, section 4.2 and figure 7 (arXiv:1311.2901).
Every position is exact; only what the square can change is computed anew (models/incremental).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, SkipValidation
from torch import Tensor

from convscope.errors import NoRule, UnreadableImage
from convscope.models.backward import Rule, send_back
from convscope.models.incremental.engine import Found, Incremental
from convscope.models.incremental.plan import STEPS
from convscope.models.layers import Layer
from convscope.models.net import Net
from convscope.models.occluders import Border, Fill, Occluder, make_occluder, positions, window_sides
from convscope.models.prepared import ImageLike, name_of
from convscope.models.starts import Start
from convscope.models.targets import Target, followed_units, is_several, target_classes
from convscope.technique import SILENT, Result, Watch, checked

MOST = 0.6  # share of a grid's positions
Quantity = Literal["probability", "score", "log_odds"]


@dataclass(frozen=True, eq=False)
class OcclusionMap(Result):
    """What the net says for every position of the occluder; NaN and −1 where a stopped run did not come to it."""

    net: str
    image: str  # the file's name; "an array" or the like where there is none
    targets: tuple[int, ...]  # classes
    names: tuple[str, ...] = field(repr=False)  # of all classes
    window: tuple[int, int]  # height and width of the occluder, px of the net's input
    stride: tuple[int, int]  # px from one position to the next, down and to the right
    fill: str  # what the occluder shows
    border: str
    probability: Float[Tensor, "*targets rows columns"] = field(repr=False)  # of the target class
    score: Float[Tensor, "*targets rows columns"] = field(repr=False)  # its logit
    log_odds: Float[Tensor, "*targets rows columns"] = field(repr=False)  # log(p / (1 − p)), from all scores
    label: Int[Tensor, "rows columns"] = field(repr=False)  # the most probable class
    label_probability: Float[Tensor, "rows columns"] = field(repr=False)
    responses: Mapping[str, Float[Tensor, "rows columns"]] = field(repr=False)  # address → sum over the unit's map
    strongest: str  # of these, the unit that is strongest on the clean image; "" where there is none
    unoccluded: Float[Tensor, "*targets"]  # the clean image's probability
    unoccluded_score: Float[Tensor, "*targets"]
    unoccluded_log_odds: Float[Tensor, "*targets"]
    unoccluded_label: int
    unoccluded_label_probability: float
    unoccluded_responses: Mapping[str, float]
    tops: Int[Tensor, " rows"] = field(repr=False)  # upper edge of the occluder, px of the net's input
    lefts: Int[Tensor, " columns"] = field(repr=False)
    pixels: Float[Tensor, "3 height width"] = field(repr=False)  # the image as the net saw it, in [0, 1]
    occluder: Occluder = field(repr=False)
    projection: Float[Tensor, "2 3 height width"] | None = field(default=None, repr=False)  # of the strongest map: by
    # a deconvnet and by guided backprop, at pixels in [0, 1]; None where neither has a meaning

    @property
    def address(self) -> str:
        """The class or classes, as a title."""
        return ", ".join(self.names[target] for target in self.targets)

    @property
    def done(self) -> int:
        """How many positions were computed."""
        return int((self.label >= 0).sum())

    def coarse(self) -> "OcclusionMap":
        """The finest grid of positions of which most are computed: every one, every second one or every fourth one."""
        known = self.label >= 0
        step = next((step for step in STEPS[::-1] if known[::step, ::step].double().mean() >= MOST), STEPS[0])
        if step == 1:
            return self
        maps = ("probability", "score", "log_odds", "label", "label_probability")
        return replace(
            self,
            **{name: getattr(self, name)[..., ::step, ::step] for name in maps},
            responses={address: values[::step, ::step] for address, values in self.responses.items()},
            tops=self.tops[::step],
            lefts=self.lefts[::step],
            stride=(self.stride[0] * step, self.stride[1] * step),
        )

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The occluder of one cell: top, left, bottom, right, half-open, px of the net's input."""
        height, width = self.pixels.shape[1:]
        top, left = int(self.tops[row]), int(self.lefts[column])
        return top, left, min(top + self.window[0], height), min(left + self.window[1], width)

    def occluded(self, row: int, column: int) -> Float[Tensor, "3 height width"]:
        """The input of one cell, exactly as the net saw it, in [0, 1]."""
        top, left, bottom, right = self.box(row, column)
        rows, columns = torch.arange(top, bottom)[None], torch.arange(left, right)[None]
        hidden = self.pixels.clone()
        hidden[:, top:bottom, left:right] = self.occluder.at(rows, columns, torch.tensor([[top, left]]))[0].permute(
            2, 0, 1
        )
        return hidden

    def attribution(self, of: Quantity = "score") -> Float[Tensor, "*targets height width"]:
        """How much hiding each pixel lowers a quantity: the mean over all positions that hide it, NaN where none does.

        Captum's Occlusion (Ancona et al. 2018), and equal to it with border="cut".
        """
        maps, clean = (
            getattr(self, of).double(),
            getattr(self, f"unoccluded_{of}" if of != "probability" else "unoccluded"),
        )
        total = maps.new_zeros(*maps.shape[:-2], *self.pixels.shape[1:])
        count = torch.zeros(self.pixels.shape[1:], dtype=torch.float64)
        for row, column in np.ndindex(*self.label.shape):
            if self.label[row, column] >= 0:
                top, left, bottom, right = self.box(row, column)
                total[..., top:bottom, left:right] += (clean - maps[..., row, column])[..., None, None]
                count[top:bottom, left:right] += 1
        mean: Tensor = total / count.where(count > 0, torch.nan)
        return mean.float()

    def filled_by(self, batches: Iterator[Found], pick: int | list[int], watch: Watch) -> "OcclusionMap":
        """This map with what was found written into it; a copy of what is done where the watch or Ctrl-C stops it."""
        total = self.label.numel()
        try:
            for found in batches:
                said = answers(found.scores.cpu())
                at = torch.from_numpy(found.rows), torch.from_numpy(found.columns)
                for name in ("probability", "score", "log_odds"):
                    getattr(self, name)[..., at[0], at[1]] = said[name][:, pick].movedim(0, -1)
                self.label[at], self.label_probability[at] = said["label"], said["label_probability"]
                for place, values in enumerate(self.responses.values()):
                    values[at] = found.sums[:, place].float().cpu()
                told = watch.stopped()  # who has been told is not stopped in the middle of a word
                watch.progress(self.done, total, "positions")
                if told or watch.stopped():
                    break
                watch.preview(self.coarse())
        except KeyboardInterrupt:
            watch.say(f"stopped: {self.done:,} of {total:,} positions are done, the others are left out")
        return self

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers by name, each response under its address."""
        found = super().arrays() | {"targets": np.array(self.targets)}
        for address, values in self.responses.items():
            found[f"response {address}"] = values.numpy()
        return found

    def falls(self, count: int = 10) -> list[tuple[int, int]]:
        """The positions where the (first) target's probability is least, the lowest first: rows and columns."""
        first = self.probability.reshape(-1, *self.label.shape)[0].flatten()
        order = first.nan_to_num(nan=torch.inf).argsort(stable=True)[: min(count, self.done)]
        return [divmod(int(at), self.label.shape[1]) for at in order]

    def lines(self) -> list[list[str]]:
        """The positions where the probability falls most, and what the net then says."""
        rows = [["top", "left", "probability", "score", "most probable class", "its probability"]]
        for row, column in self.falls():
            one = [values.reshape(-1, *self.label.shape)[0, row, column] for values in (self.probability, self.score)]
            name = self.names[int(self.label[row, column])]
            place = [str(int(self.tops[row])), str(int(self.lefts[column]))]
            rows.append(
                [*place, *(f"{float(value):.4g}" for value in one), name, f"{self.label_probability[row, column]:.4g}"]
            )
        return rows


@checked
def occlusion(
    net: Net,
    # net.prepare says better than pydantic what is wrong with an image
    image: Annotated[ImageLike, SkipValidation, Field(description="an image file")],
    target: Annotated[
        Target, SkipValidation, Field(description="a class by name or index; default: the most probable one")
    ] = None,
    *,
    window: Annotated[
        str | int | tuple[int, int],
        BeforeValidator(window_sides),
        Field(description="side of the square that hides, px of the net's input; 24x40: height and width"),
    ] = 32,
    stride: Annotated[int, Field(ge=1, description="px from one position of the square to the next")] = 8,
    fill: Annotated[
        Fill,
        Field(
            description='what the square shows: "zero" black, "mean" the net\'s mean colour, "grey" 0.5, "blur" the '
            'image out of focus, "noise" a patch of random colours; or red, green and blue in [0, 1]'
        ),
    ] = "zero",
    follow: Annotated[
        str | None, Field(description="the layer whose strongest unit is followed; default: that of the last stage")
    ] = None,
    strongest: Annotated[
        Literal["sum", "max"],
        Field(description='strongest by the "sum" of its map, or by its greatest activation "max"'),
    ] = "sum",
    units: Annotated[
        tuple[str, ...], Field(description='units to follow besides, such as "features.3:17": the sum over their maps')
    ] = (),
    border: Annotated[
        Border,
        Field(
            description='"inside": the square is wholly inside the image; "cut": the last ones are cut off at its edge'
        ),
    ] = "inside",
    seed: Annotated[int, Field(ge=0, lt=2**63, description='of the "noise"')] = 0,
    memory: Annotated[
        float | None, Field(gt=0, description="GB to work in at most; default: a quarter of what is free")
    ] = None,
    watch: Annotated[Watch, SkipValidation] = SILENT,
) -> OcclusionMap:
    """How the class probability falls as a square hides each place of the image; exact at every position.

    A list of targets gives a map for each. Positions run from coarse to fine; stopping (also by Ctrl-C) keeps what is
    done. Raises UnreadableImage, BadAddress, UnknownLayer, BadOption.
    """
    prepared = net.prepare(image)
    sides = window_sides(window)
    grid = positions(net.size, sides, (stride, stride), border)
    chosen = target_classes(net, target)
    pixels = prepared.pixels.detach()
    best, followed = followed_units(net, pixels, follow, strongest, units)
    engine = Incremental(net, pixels, list(followed.values()), memory)
    clean = answers(engine.scores[None].cpu())
    if not bool(clean["score"].isfinite().all()):
        raise UnreadableImage("the scores of this image are not finite", "check the network's weights, mean and std")
    classes = chosen or (int(clean["label"]),)
    occluder = make_occluder(net, engine.pixels, fill, sides, seed)
    several = is_several(target)
    pick = list(classes) if several else classes[0]
    known = OcclusionMap(
        net=net.name,
        image=name_of(image),
        targets=classes,
        names=tuple(net.class_name(index) for index in range(net.classes)),
        window=sides,
        stride=(stride, stride),
        fill=fill if isinstance(fill, str) else "the colour " + ", ".join(f"{value:g}" for value in fill),
        border=border,
        **empty_maps(grid.shape, len(classes) if several else None),
        responses={address: torch.full(grid.shape, torch.nan) for address in followed},
        strongest=best,
        unoccluded=clean["probability"][0, pick],
        unoccluded_score=clean["score"][0, pick],
        unoccluded_log_odds=clean["log_odds"][0, pick],
        unoccluded_label=int(clean["label"]),
        unoccluded_label_probability=float(clean["label_probability"]),
        unoccluded_responses=dict(zip(followed, engine.sums.tolist(), strict=True)),
        tops=torch.from_numpy(grid.tops),
        lefts=torch.from_numpy(grid.lefts),
        pixels=pixels[0].float().cpu(),
        occluder=Occluder(occluder.pixels.cpu(), occluder.moves),
        projection=projected(net, pixels, *followed[best]) if best else None,
    )
    return known.filled_by(engine.run(grid, occluder), pick, watch)


def projected(net: Net, pixels: Float[Tensor, "1 3 height width"], layer: Layer, unit: int) -> Tensor | None:
    """What deconvnet and guided backprop send back from a unit's map; None where activations are no rectifiers."""
    start, rules = [Start(layer, unit, whole=True)], tuple[Rule, Rule](("deconvnet", "guided"))
    try:
        return torch.cat([send_back(net, pixels, start, rule).signals for rule in rules])
    except NoRule:
        return None


def answers(scores: Float[Tensor, "n classes"]) -> dict[str, Tensor]:
    """Scores, probabilities and log-odds of all classes, n×classes; the most probable one and its probability, n."""
    log_probability = scores.double().log_softmax(1)
    probability, label = log_probability.exp().max(1)
    others = torch.log1p(-log_probability.exp().clamp(max=0.75))
    best = label[:, None]  # only its probability can be so near to 1 that 1 − p has no digits left
    rest = log_probability.scatter(1, best, -torch.inf).logsumexp(1, keepdim=True)
    others = others.scatter(1, best, rest)
    return {
        "score": scores.float(),
        "probability": log_probability.exp().float(),
        "log_odds": (log_probability - others).float(),
        "label": label,
        "label_probability": probability.float(),
    }


def empty_maps(shape: tuple[int, int], targets: int | None) -> dict[str, Tensor]:
    """Maps of no position yet."""
    each = shape if targets is None else (targets, *shape)
    found = {name: torch.full(each, torch.nan) for name in ("probability", "score", "log_odds")}
    found["label"] = torch.full(shape, -1, dtype=torch.int64)
    found["label_probability"] = torch.full(shape, torch.nan)
    return found
