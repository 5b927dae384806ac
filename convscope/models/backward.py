"""Signals from a layer back to the pixels, by one of three rules at the rectifiers.

At a rectifier that was given x, and is sent R from above:
    gradient   R · [x > 0]              Simonyan, Vedaldi & Zisserman 2014, arXiv:1312.6034
    deconvnet  R · [R > 0]              Zeiler & Fergus 2014, arXiv:1311.2901
    guided     R · [x > 0] · [R > 0]    Springenberg et al. 2015, arXiv:1412.6806
Everything else is the transpose of what it does forwards: convolutions and linear layers without their biases, the
switches of max pools with what overlaps added up, BatchNorm as a factor, sums to both branches. A deconvnet passes
local response normalisation as it is. Rectifiers are nodes of the graph, so it does not matter how a network spells
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
from convscope.models.starts import Start, by_layer
from convscope.models.steps import Step, Steps
from convscope.models.unruled import find_gates, find_unruled
from convscope.watch import SILENT, Watch

Rule = Literal["gradient", "deconvnet", "guided"]
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
        # of the graph, since a convolution that was folded into another step still reads what is before it
        needed, moving = net.graph.needed([layer.node]), net.graph.from_pixels
        nodes = [node for node in net.graph.nodes if node in needed]
        self.rectifiers = tuple(find_rectifiers(nodes, moving))
        if rule != "gradient":
            refuse_unruled(net, rule, find_unruled(nodes, moving, layer.node))
            passed = find_response_norms(nodes) if rule == "deconvnet" else {}
            for step in self.steps.all:
                if step.node in self.rectifiers:
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


@dataclass(frozen=True, eq=False)
class Sent:
    """Signals of one image from several starts."""

    signals: Tensor  # starts×3×H×W, at the pixels in [0, 1]
    starts: tuple[Start, ...]  # with unit and place as they were found
    values: tuple[float, ...]  # of the unit there; of a whole map its greatest
    rectifiers: tuple[int, ...]  # how many the signal passed


def send_back(net: Net, pixels: Tensor, starts: Sequence[Start], rule: Rule, watch: Watch = SILENT) -> Sent:
    """Sends signals back from several starts on one image 1×3×H×W: one forward a layer, one backward a start.

    A deconvnet begins with the unit's own value, as in its paper; everything else, and every class, with 1. NoRule.
    """
    found, signals, counts = list(starts), torch.zeros(len(starts), *pixels.shape[1:]), [0] * len(starts)
    values = [0.0] * len(starts)
    backwards = {layer: Backward(net, layer, rule) for layer in by_layer(starts)}  # all are refused before any runs
    done = 0
    for layer, numbers in by_layer(starts).items():
        keeps = rule == "deconvnet" and layer.node is not net.graph.scores

        def begin(value: Tensor, numbers: Sequence[int] = numbers, keeps: bool = keeps) -> Iterator[Tensor]:
            for number in numbers:
                found[number] = starts[number].found(value[0])
                cells = value[0][found[number].cells]
                values[number] = float(cells.max())
                yield found[number].sent(value[0], keeps)[None]

        for number, signal in zip(numbers, backwards[layer].signals(pixels, begin), strict=True):
            signals[number] = signal[0].float().cpu()
            counts[number] = len(backwards[layer].rectifiers)
            done += 1
            watch.progress(done, len(starts), "signals")
    return Sent(signals, tuple(found), tuple(values), tuple(counts))


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
        if swapped.rule == "guided":
            context.save_for_backward(given if swapped.keeps_given else value)
        return value

    @staticmethod
    def backward(context: Any, *signals: Tensor) -> tuple[Tensor, None, None, None]:
        """R → R · [R > 0], for guided backprop also · [x > 0], and [x < ceiling] where there is one."""
        if context.swapped.rule == "deconvnet":
            return signals[0].clamp_min(0), None, None, None
        (value,) = context.saved_tensors
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
