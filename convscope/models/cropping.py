"""Signals of single cells, computed from their receptive fields alone.

A cell of a layer reads a rectangle of the layer before, that one a larger one of the layer before it, down to a crop
of the image. Rectangles move with the cell by whole strides, so all cells of a layer have rectangles of the same sizes,
and many patches of many images run as one batch. A rectangle that reaches over the edge of a map has there what the
operator puts around the map. So value and signal are those of the whole image, at the cost of the crop.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from convscope.arrays import Place
from convscope.models.backward import Backward
from convscope.models.convolution import Convolution
from convscope.models.incremental import operators as operators  # registers the rules
from convscope.models.incremental.local import Rule, Slide, find_rule, is_tensor
from convscope.models.layers import MAP
from convscope.models.receptive import Field
from convscope.models.steps import Step, sources_of

KINDS = ("pointwise", "slide", "cat", "reshape")
SAME = Slide(1, 1, 0)
WORTH = 0.5  # of a whole image's cost: seven layers measured below it were at least 1.4 times as fast by crops
AT_ONCE = 2.5  # whole images' worth of products in one pass: many more at once were slower
ROOM = 4e8  # bytes: of the pixels, their padded copies and the signals of one pass


@dataclass(frozen=True)
class Run:
    """Along one axis the cells of a tensor that cell y of the layer asks for: from y · stride + first, so many."""

    stride: int
    first: int
    cells: int

    def read(self, slide: Slide) -> "Run":
        """What a sliding window reads for them."""
        return Run(self.stride * slide.stride, self.first * slide.stride - slide.before, slide.read(self.cells))

    def join(self, other: "Run") -> "Run":
        """Both; ValueError where their strides differ."""
        if self.stride != other.stride:
            raise ValueError("branches of different stride")
        first = min(self.first, other.first)
        return Run(self.stride, first, max(self.first + self.cells, other.first + other.cells) - first)

    def over(self, places: Tensor, axis: int, cells: int) -> list["Strip"]:
        """What of each image's rectangle lies before and after a map of that length."""
        found = []
        for image, start in enumerate((places * self.stride + self.first).tolist()):
            before = min(max(-start, 0), self.cells)
            after = min(max(start + self.cells - cells, 0), self.cells)
            found += [(image, axis, 0, before), (image, axis, self.cells - after, after)]
        return [strip for strip in found if strip[3]]


Runs = tuple[Run, Run]  # rows and columns
Strip = tuple[int, int, int, int]  # image, axis, first cell, cells


class Crops:
    """Rectangles and rules from a layer down to the pixels; `possible` is False where some operator has no rule."""

    def __init__(self, backward: Backward) -> None:
        self.backward, self.net = backward, backward.net
        self.rules: dict[fx.Node, Rule] = {}
        self.runs: dict[fx.Node, Runs] = {}
        self.possible = backward.layer.spatial and self.plan()

    def plan(self) -> bool:
        """Finds the rectangles; whether every operator has a rule for them."""
        graph, fields = self.net.graph, self.net.fields
        one = Run(1, 0, 1)
        self.runs[self.backward.layer.node] = (one, one)
        for step in reversed(self.backward.steps.all):
            if step.node not in graph.from_pixels or not is_tensor(step.node):
                continue
            rule = find_rule(step, fields, graph.from_pixels)
            if rule is None or rule.kind not in KINDS:
                return False
            own = self.runs.get(step.node)
            if own is None:  # a number, or a result that nobody reads
                continue
            self.rules[step.node] = rule
            slides = rule.slides or (SAME, SAME)
            wanted = (own[0].read(slides[0]), own[1].read(slides[1]))
            for source in rule.sources:
                try:
                    known = self.runs.get(source)
                    joined = wanted if known is None else (known[0].join(wanted[0]), known[1].join(wanted[1]))
                except ValueError:
                    return False
                self.runs[source] = joined
        return graph.pixels in self.runs

    def share(self) -> float:
        """What a crop costs, in parts of what the whole image costs: products and sums, counted."""
        crop = whole = 0.0
        for step in self.backward.steps.all:
            runs = self.runs.get(step.node)
            if runs is None or step.node not in self.rules:
                continue
            field = self.field(step.node)
            axes = field.axes or MAP
            cells = field.shape[axes.index("H")] * field.shape[axes.index("W")]
            cost = cost_of(step, math.prod(field.shape) // cells)
            crop += cost * runs[0].cells * runs[1].cells
            whole += cost * cells
        return crop / whole if whole else 1.0

    def pays(self) -> bool:
        """Whether crops take less time than whole images, several at once: measured, so below a share of 0.5."""
        return self.share() < WORTH

    def at_once(self) -> int:
        """How many crops run in one pass: what costs as much as a few whole images, and has room in memory."""
        height, width = self.net.size
        each = 3 * (4 * 3 * height * width)  # a crop has an image of its own, its padded copy and its signal
        return max(1, int(min(AT_ONCE / self.share(), ROOM / each)))

    def signals(self, pixels: Tensor, places: list[Place], units: list[int], kept: bool) -> tuple[Tensor, Tensor]:
        """The value of a unit at a place of each image (N,), and the signals N×3×H×W from there, 0 outside the crops.

        kept: the signal begins with the value itself, else with 1. All in one pass.
        """
        backward, graph = self.backward, self.net.graph
        at = torch.tensor([place.row for place in places]), torch.tensor([place.column for place in places])
        runs = self.runs[graph.pixels]
        edges = [margins(run, where, size) for run, where, size in zip(runs, at, pixels.shape[2:], strict=True)]
        padded = F.pad(backward.prepare(pixels.detach()), (*edges[1], *edges[0]))
        starts = [
            (where * run.stride + run.first + edge[0]).tolist()
            for run, where, edge in zip(runs, at, edges, strict=True)
        ]
        boxes = list(zip(*starts, strict=True))
        height, width = runs[0].cells, runs[1].cells
        cut = [padded[i, :, top : top + height, left : left + width] for i, (top, left) in enumerate(boxes)]
        with torch.inference_mode(False), torch.enable_grad():
            crops = torch.stack(cut).contiguous(memory_format=torch.channels_last)
            value = self.forward(crops.requires_grad_(), at)
            chosen = value[torch.arange(len(units)), torch.tensor(units, device=value.device)].reshape(len(units))
            sent = chosen.detach() if kept else torch.ones_like(chosen)
            found = None
            if chosen.requires_grad:  # what is counted or compared has no gradient
                (found,) = torch.autograd.grad(chosen, crops, sent, allow_unused=True)
        signals = torch.zeros_like(padded)
        if found is not None:
            for i, (top, left) in enumerate(boxes):
                signals[i, :, top : top + height, left : left + width] = found[i]
        (above, _), (before, _) = edges
        inner = signals[:, :, above : above + pixels.shape[2], before : before + pixels.shape[3]]
        std = torch.tensor(self.net.preprocess.std, dtype=inner.dtype, device=inner.device).view(1, 3, 1, 1)
        return chosen.detach(), inner / std

    def forward(self, crops: Tensor, at: tuple[Tensor, Tensor]) -> Tensor:
        """Crops of the normalised pixels → the layer's value N×C×1×1."""
        backward, graph = self.backward, self.net.graph
        values: dict[fx.Node, Any] = {**backward.steps.weights, graph.pixels: crops}
        for step in backward.steps.all:
            rule = self.rules.get(step.node)
            if rule is None:  # a number such as the batch size, or what does not depend on the image
                free = step.node not in graph.from_pixels or not is_tensor(step.node)
                if free and all(source in values for source in sources_of(step)):
                    arguments, keywords = fx.node.map_arg((step.arguments, step.keywords), values.__getitem__)
                    values[step.node] = step.operator(*arguments, **keywords)
                continue
            read = {source: self.cut(step, rule, source, values[source], at) for source in rule.sources}
            given = {**values, **read}
            arguments, keywords = fx.node.map_arg((step.arguments, step.keywords), given.__getitem__)
            if rule.kind == "reshape":
                shape = step.node.meta["val"].shape[1:-2]
                values[step.node] = arguments[0].reshape(len(crops), *shape, *arguments[0].shape[-2:])
            else:
                values[step.node] = (rule.run or step.operator)(*arguments, **keywords)
            if step.node is backward.layer.node:
                break
            for node in step.done_with:
                values.pop(node, None)
        value = values[backward.layer.node]
        assert isinstance(value, Tensor)
        return backward.layer.ordered(value)

    def cut(self, step: Step, rule: Rule, source: fx.Node, value: Any, at: tuple[Tensor, Tensor]) -> Any:
        """What a step reads of a source: its rectangle, and around the map what the operator puts there."""
        if isinstance(value, tuple | list):
            return [self.cut(step, rule, source, part, at) for part in value]
        if not isinstance(value, Tensor):
            return value
        own, field = self.runs[source], self.field(source)
        slides = rule.slides or (SAME, SAME)
        axes = field.axes or MAP
        over: list[Strip] = []
        for name, run, slide, node_run, where in zip("HW", own, slides, self.runs[step.node], at, strict=True):
            axis = axes.index(name)
            wanted = node_run.read(slide)
            if wanted.cells < run.cells:
                value = value.narrow(axis, wanted.first - run.first, wanted.cells)
            if rule.kind == "slide":
                over += wanted.over(where, axis, field.shape[axis])
        return Bordered.apply(value, axes.index("N"), over, rule.outside) if over else value

    def field(self, node: fx.Node) -> Field:
        """What a tensor's axes mean."""
        found = self.net.fields.get(node)
        if found is None:
            found = next(self.net.fields[user] for user in node.users if user in self.net.fields)
        return found


class Bordered(torch.autograd.Function):
    """Rectangles with strips of them filled: torch's own `where` would take longer than the convolutions."""

    @staticmethod
    def forward(context: Any, value: Tensor, images: int, strips: list[Strip], outside: float) -> Tensor:
        """images: the axis of the images."""
        context.images, context.strips = images, strips
        return filled(value, images, strips, outside)

    @staticmethod
    def backward(context: Any, *signals: Tensor) -> tuple[Tensor, None, None, None]:
        """Nothing comes back from what was filled in."""
        return filled(signals[0], context.images, context.strips, 0), None, None, None


def filled(value: Tensor, images: int, strips: list[Strip], number: float) -> Tensor:
    """A copy with that number in the strips."""
    copy = value.clone()
    for image, axis, first, cells in strips:
        copy.narrow(images, image, 1).narrow(axis, first, cells).fill_(number)
    return copy


def margins(run: Run, where: Tensor, size: int) -> tuple[int, int]:
    """How many pixels the crops reach over the image before and after it."""
    starts = where * run.stride + run.first
    return max(0, -int(starts.min())), max(0, int(starts.max()) + run.cells - size)


def cost_of(step: Step, channels: int) -> float:
    """What one cell of a step's map costs, in products and sums."""
    weight = step.arguments[1] if type(step.operator) is Convolution else None
    known = weight.meta["val"] if isinstance(weight, fx.Node) else weight
    return float(channels if known is None else known.numel())
