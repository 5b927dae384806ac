"""Signals from a layer back to the pixels, by one of three rules at the rectifiers.

At a rectifier that was given x, and is sent R from above:
    gradient   R · [x > 0]              Simonyan, Vedaldi & Zisserman 2014, arXiv:1312.6034
    deconvnet  R · [R > 0]              Zeiler & Fergus 2014, arXiv:1311.2901
    guided     R · [x > 0] · [R > 0]    Springenberg et al. 2015, arXiv:1412.6806
Everything else is the transpose of what it does forwards: convolutions and linear layers without their biases, the
switches of max pools with what overlaps added up, BatchNorm as a factor, sums to both branches. A deconvnet passes
local response normalisation as it is. A fourth rule is for ascent alone, where a gradient is 0 since all is at rest:
    redirected R · [x > 0 or R > 0]     what would wake a rectifier passes it (Lucid's "redirected ReLU")
Rectifiers are nodes of the graph, so it does not matter how a network spells
them; nothing is hooked or changed, and every call has operators of its own, so rules can run in many threads at once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from convscope.errors import NoRule
from convscope.models.graph import DETACH, operator_name
from convscope.models.layers import Layer
from convscope.models.net import Net
from convscope.models.normalisation import find_response_norms
from convscope.models.rectifiers import ceiling, is_rectifier, leaks, rectified
from convscope.models.starts import Start, by_layer, check_finite
from convscope.models.steps import Step, Steps
from convscope.models.unruled import find_gates, find_unruled
from convscope.watch import SILENT, Watch

Rule = Literal["gradient", "deconvnet", "guided", "redirected"]
Method = Literal["saliency", "deconvnet", "guided_backprop"]  # the techniques that send signals back
RULES: dict[Method, Rule] = {"saliency": "gradient", "deconvnet": "deconvnet", "guided_backprop": "guided"}
TITLES = {"gradient": "the gradient", "deconvnet": "a deconvnet", "guided": "guided backprop"}
NAMED = 6  # how many calls a refusal names
CHANGING = (torch.ops.aten.relu_.default, torch.ops.aten.hardtanh_.default)


class Backward:
    """A net prepared to send signals from one layer back to the pixels. NoRule where the rule has no meaning."""

    def __init__(self, net: Net, layer: Layer, rule: Rule = "gradient") -> None:
        self.net, self.layer, self.rule = net, layer, rule
        with torch.inference_mode(False):  # folded weights that a gradient can be taken through
            self.steps = Steps(net, {layer.node}, differentiable=True)
        for step in self.steps.all:
            if step.node.target is DETACH:  # as in Net.outputs
                step.operator = unchanged
        nodes, moving = nodes_before(net, layer), net.graph.from_pixels
        self.rectifiers = tuple(find_rectifiers(nodes, moving))
        if rule != "gradient":
            if rule != "redirected":
                check_rule(net, layer, rule)
            passed = find_response_norms(nodes) if rule == "deconvnet" else {}
            for step in self.steps.all:
                if step.node in self.rectifiers and not (rule == "redirected" and leaks(step.node)):
                    step.operator = Swapped(step, rule, starts=step.node is layer.node)
                elif step.node in passed:
                    step.operator = Passed(step.operator, passed[step.node] is step.arguments[0])

    def prepare(self, pixels: Tensor) -> Tensor:
        """Pixels in [0, 1] as the graph takes them."""
        net = self.net
        return net.preprocess.normalise(pixels.to(net.device, net.graph.pixels.meta["val"].dtype))

    def forward(self, normalised: Tensor) -> Tensor:
        """N×3×H×W → the layer's value N×C×H×W or N×C, through which gradients can flow."""
        values: dict[fx.Node, Any] = {**self.steps.weights, self.net.graph.pixels: normalised}
        for step in self.steps.all:
            arguments, keywords = fx.node.map_arg((step.arguments, step.keywords), lambda source: values[source])
            values[step.node] = step.operator(*arguments, **keywords)
            if step.node is self.layer.node:
                break
            for node in step.done_with:
                del values[node]
        return self.layer.ordered(values[self.layer.node])

    def signals(self, pixels: Tensor, starts: Callable[[Tensor], Iterable[Tensor]]) -> Iterator[Tensor]:
        """For each start the signal N×3×H×W at these pixels in [0, 1]: one forward, and one backward a start.

        starts: from the layer's value (N×C×H×W or N×C) to what is sent back from it, each of the value's shape.
        """
        with torch.inference_mode(False), torch.enable_grad():
            given = pixels.detach().clone().requires_grad_()
            value = self.forward(self.prepare(given))
        sent = list(starts(value.detach()))
        for place, start in enumerate(sent):
            signal = None
            if value.requires_grad:  # what is counted or compared has no gradient
                more = place < len(sent) - 1
                with torch.inference_mode(False):
                    (signal,) = torch.autograd.grad(value, given, start, retain_graph=more, allow_unused=True)
            yield torch.zeros_like(given) if signal is None else signal

    def sent(self, pixels: Tensor, starts: Sequence[Start], ones: bool = False) -> Iterator["Signal"]:
        """The signals from some starts of the layer on one image 1×3×H×W. UnreadableImage where they are no numbers.

        A deconvnet begins with the unit's own value, as in its paper, unless with `ones`; all else begins with 1.
        """
        scores = self.layer.node is self.net.graph.scores
        keeps = self.rule == "deconvnet" and not scores and not ones
        what = "the scores of this image are" if scores else f"the values of {self.layer.name} at this image are"
        arrived = "the gradient at this image is" if self.rule == "gradient" else "the signal at this image is"
        known: list[tuple[Start, float, float | None]] = []

        def begin(value: Tensor) -> Iterator[Tensor]:
            for start in starts:
                found = start.found(value[0])
                cells = value[0][found.cells]
                check_finite(what, cells)
                sure = float(value[0].double().softmax(0)[found.unit]) if scores else None
                known.append((found, float(cells.max()), sure))
                yield found.sent(value[0], keeps=keeps)[None]

        for number, signal in enumerate(self.signals(pixels, begin)):
            check_finite(arrived, signal)
            yield Signal(signal[0].float().cpu(), *known[number], len(self.rectifiers))


@dataclass(frozen=True, eq=False)
class Signal:
    """What arrives at the pixels from one start on one image."""

    pixels: Tensor  # 3×H×W, at the pixels in [0, 1]
    start: Start  # with unit and place as they were found
    value: float  # of the unit there; of a whole map its greatest
    probability: float | None  # of a class
    rectifiers: int  # how many the signal passed


@dataclass(frozen=True, eq=False)
class Sent:
    """Signals of one image from several starts."""

    signals: Tensor  # starts×3×H×W, at the pixels in [0, 1]
    starts: tuple[Start, ...]  # with unit and place as they were found
    values: tuple[float, ...]  # of the unit there; of a whole map its greatest
    rectifiers: tuple[int, ...]  # how many the signal passed
    probabilities: tuple[float | None, ...]  # of classes


def send_back(
    net: Net, pixels: Tensor, starts: Sequence[Start], rule: Rule, watch: Watch = SILENT, *, ones: bool = False
) -> Sent:
    """Sends signals back from several starts on one image 1×3×H×W: one forward a layer, one backward a start.

    ones: a deconvnet begins with 1 too, not with the unit's own value. One layer's folded weights are in memory at a
    time. NoRule before anything runs, UnreadableImage.
    """
    layers = by_layer(starts)
    if rule != "gradient":
        for layer in layers:
            check_rule(net, layer, rule)
    found: dict[int, Signal] = {}
    for layer, numbers in layers.items():
        sent = Backward(net, layer, rule).sent(pixels, [starts[one] for one in numbers], ones)
        for number, signal in zip(numbers, sent, strict=True):
            found[number] = signal
            watch.progress(len(found), len(starts), "signals")
    signals = [found[number] for number in range(len(starts))]
    return Sent(
        torch.stack([one.pixels for one in signals]),
        tuple(one.start for one in signals),
        tuple(one.value for one in signals),
        tuple(one.rectifiers for one in signals),
        tuple(one.probability for one in signals),
    )


def nodes_before(net: Net, layer: Layer) -> list[fx.Node]:
    """The nodes that a layer is computed from, and its own.

    Of the graph, since a convolution that was folded into another step still reads what is before it.
    """
    needed = net.graph.needed([layer.node])
    return [node for node in net.graph.nodes if node in needed]


def check_rule(net: Net, layer: Layer, rule: Rule) -> None:
    """NoRule where a rule has no meaning between the pixels and a layer."""
    refuse_unruled(net, rule, find_unruled(nodes_before(net, layer), net.graph.from_pixels, layer.node))


def find_rectifiers(nodes: Sequence[fx.Node], moving: frozenset[fx.Node]) -> list[fx.Node]:
    """The rectifiers that depend on the image, those left out that are gates."""
    gates = find_gates(nodes, moving)
    return [node for node in nodes if node in moving and is_rectifier(node) and node not in gates]


def refuse_unruled(net: Net, rule: Rule, unruled: Sequence[fx.Node]) -> None:
    """NoRule, which names the activations that the rule has no meaning for."""
    if not unruled:
        return
    kinds: dict[str, int] = {}
    for node in unruled:
        kinds[operator_name(node)] = kinds.get(operator_name(node), 0) + 1
    names = [next((layer.name for layer in net.layers if layer.node is node), node.name) for node in unruled]
    counted = " and ".join(f"{count} {kind} call{'s' * (count > 1)}" for kind, count in kinds.items())
    listed = ", ".join(names[:NAMED]) + (f", … ({len(names) - NAMED} more)" if len(names) > NAMED else "")
    raise NoRule(
        f"{TITLES[rule]} has no rule for {counted} of {net.name}: {listed}",
        "both rules are about rectifiers (ReLU, ReLU6, leaky ReLU, max(x, 0)); saliency works on every network",
    )


def unchanged(value: Tensor) -> Tensor:
    """What a detach does for signals."""
    return value


class Swapped:
    """A rectifier with another way back: forwards it is the operator that it was.

    starts: signals start behind it. Then its ceiling is left out: a unit that stands at 6 is as active as can be.
    """

    def __init__(self, step: Step, rule: Rule, starts: bool) -> None:
        self.operator, self.rule = step.operator, rule
        source = rectified(step.node)
        self.place = next(place for place, one in enumerate(step.arguments) if one is source)
        self.ceiling = None if starts else ceiling(step.node)
        self.changes = step.operator in CHANGING  # its argument, in place
        self.keeps_given = leaks(step.node) or operator_name(step.node) == "mul"  # sums overwrite a product

    def __call__(self, *arguments: Any, **keywords: Any) -> Tensor:
        """What the rectifier gives."""
        found: Tensor = SwappedFunction.apply(arguments[self.place], self, arguments, keywords)
        return found


class SwappedFunction(torch.autograd.Function):
    """A rectifier whose way back is the rule of a deconvnet or of guided backprop."""

    @staticmethod
    def forward(context: Any, given: Tensor, swapped: Swapped, arguments: Any, keywords: Any) -> Tensor:
        """The rectifier itself."""
        value: Tensor = swapped.operator(*arguments, **keywords)
        context.swapped = swapped
        if swapped.changes:
            context.mark_dirty(given)
        if swapped.rule != "deconvnet":
            context.save_for_backward(given if swapped.keeps_given else value)
        return value

    @staticmethod
    def backward(context: Any, *signals: Tensor) -> tuple[Tensor, None, None, None]:
        """R → R · [R > 0], for guided backprop also · [x > 0], and [x < ceiling] where there is one; or redirected."""
        if context.swapped.rule == "deconvnet":
            return signals[0].clamp_min(0), None, None, None
        (value,) = context.saved_tensors
        if context.swapped.rule == "redirected":
            return signals[0] * ((value > 0) | (signals[0] > 0)), None, None, None
        high = context.swapped.ceiling
        if high is None:
            found = torch.ops.aten.threshold_backward(signals[0], value, 0)
        else:
            found = torch.ops.aten.hardtanh_backward(signals[0], value, 0, high)
        return found.clamp_min_(0), None, None, None


class Passed:
    """A local response normalisation that signals pass as they are."""

    def __init__(self, operator: Callable[..., Any], first: bool) -> None:
        self.operator, self.place = operator, 0 if first else 1

    def __call__(self, *arguments: Any, **keywords: Any) -> Tensor:
        """What the normalisation gives."""
        given = arguments[self.place]
        with torch.no_grad():
            value = self.operator(*arguments, **keywords)
        passed: Tensor = given + (value - given).detach()
        return passed
