"""Convolutions as a build runs them: by the fastest kernel, and with the zeros around a map as padding of their own.

A network that pads a map before a convolution (as TensorFlow's SAME does) writes the whole map once more, which costs
as much as a depthwise convolution. A convolution pads both sides alike, so where the sides differ it pads the greater
amount, and the cells that are too many are cut off: the sums are the same.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, fx

from convscope.models.graph import operator_name
from convscope.models.rules.call import Call, shape_of

CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)  # the second: "same" or "valid"
Sides = tuple[int, int]  # cells before and after a map along an axis


class Convolution:
    """The operator of a convolution's node, or of that and the zero padding before it."""

    def __init__(self, node: fx.Node, pad: fx.Node | None = None) -> None:
        call = Call(node, {})
        self.stride, self.dilation, self.groups = call.pair("stride"), call.pair("dilation"), call["groups"]
        zeros = around(pad) if pad else ((0, 0), (0, 0))
        pairs = zip(zeros, own_padding(call), strict=True)
        self.sides = [(one + before, other + after) for (one, other), (before, after) in pairs]  # zeros, each axis
        self.padding = [both_sides(*pair) for pair in zip(self.sides, self.stride, strict=True)]
        known = zip(self.padding, self.sides, self.stride, strict=True)
        starts = [(most - side[0]) // step for most, side, step in known]
        self.cut = [slice(start, start + cells) for start, cells in zip(starts, call.shape[2:], strict=True)]
        self.cuts = any(before != after for before, after in self.sides)

    def __call__(self, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """N×C×H×W → N×O×h×w."""
        found = self.convolve(maps, weight, bias, self.padding)
        return found[:, :, *self.cut].contiguous(memory_format=torch.channels_last) if self.cuts else found

    def convolve(self, maps: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int]) -> Tensor:
        """The same with other zeros around the maps."""
        plain = maps.device.type == "cpu" and maps.dtype == torch.float32
        if plain and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch's stubs lack it
            dense = None if bias is None else bias.contiguous()  # it reads the memory as it lies
            # for some shapes torch itself takes slower kernels
            found: Tensor = torch.mkldnn_convolution(
                maps, weight, dense, padding, self.stride, self.dilation, self.groups
            )
        else:
            found = torch.conv2d(maps, weight, bias, self.stride, padding, self.dilation, self.groups)
        return found


def find_paddings(nodes: Sequence[fx.Node], asked: set[fx.Node]) -> dict[fx.Node, fx.Node]:
    """Convolution → the zero padding before it that only it reads, where nobody asked for the padded map.

    Where the sides differ the result has to be cut, so it is left alone unless the result is the smaller map.
    """
    found = {}
    inside = set(nodes)
    for node in nodes:
        pad = node.args[0] if is_plain(node) else None
        if not isinstance(pad, fx.Node) or not is_zero_padding(pad) or pad in asked:
            continue
        if [user for user in pad.users if user in inside] != [node] or any(one is pad for one in node.args[1:]):
            continue
        even = all(before == after for before, after in around(pad))
        source = pad.args[0]
        assert isinstance(source, fx.Node)
        if even or math.prod(shape_of(node.meta["val"])) <= math.prod(shape_of(source.meta["val"])):
            found[node] = pad
    return found


def is_plain(node: fx.Node) -> bool:
    """Whether a node is a convolution of maps whose options are numbers: groups can be as many as there are images."""
    if node.target not in CONVOLUTIONS or len(node.meta["val"].shape) != 4:
        return False
    call = Call(node, {})
    padding = [] if isinstance(call["padding"], str) else call.pair("padding")
    options = [*call.pair("stride"), *padding, *call.pair("dilation"), call["groups"]]
    return all(isinstance(number, int) for number in options)


def own_padding(call: Call) -> list[Sides]:
    """The zeros before and after each axis that a convolution adds itself."""
    if not isinstance(call["padding"], str):
        return [(cells, cells) for cells in call.pair("padding")]
    kernel = call.node.args[1].meta["val"].shape[2:]  # type: ignore[union-attr]
    spread = [step * (cells - 1) for step, cells in zip(call.pair("dilation"), kernel, strict=True)]
    return [(cells // 2, cells - cells // 2) if call["padding"] == "same" else (0, 0) for cells in spread]


def is_zero_padding(node: fx.Node) -> bool:
    """Whether a node puts zeros around the rows and columns of maps, and nothing else."""
    if operator_name(node) not in ("constant_pad_nd", "pad") or len(node.meta["val"].shape) != 4:
        return False
    call = Call(node, {})
    whole = all(isinstance(amount, int) and amount >= 0 for amount in call["pad"])
    constant = call.arguments.get("mode", "constant") == "constant" and call["value"] in (None, 0)
    return constant and whole and len(call["pad"]) in (2, 4)


def around(pad: fx.Node) -> tuple[Sides, Sides]:
    """The zeros above and below, left and right, that a padding adds."""
    left, right, *more = Call(pad, {})["pad"]
    return (more[0], more[1]) if more else (0, 0), (left, right)


def both_sides(sides: Sides, stride: int) -> int:
    """The padding of both sides that has every cell of uneven padding, at the same phase of the stride."""
    before, after = sides
    return before + math.ceil(max(after - before, 0) / stride) * stride
