"""Convolutions as a build runs them: by the fastest kernel, and with the zeros around a map as padding of their own.

A network that pads a map before a convolution (as TensorFlow's SAME does) writes the whole map once more, which costs
as much as a depthwise convolution. A convolution pads both sides alike, so where the sides differ it pads the greater
amount, and the cells that are too many are cut off: the sums are the same.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from convscope.models.graph import operator_name
from convscope.models.rectifiers import argument, is_number

CONVOLUTION = torch.ops.aten.conv2d.default
Sides = tuple[int, int]  # cells before and after a map along an axis


class Convolution:
    """The operator of a convolution's node, or of that and the zero padding before it."""

    def __init__(self, node: fx.Node, pad: fx.Node | None = None) -> None:
        self.stride, self.dilation = (pair(argument(node, *place, 1)) for place in ((3, "stride"), (5, "dilation")))
        self.groups: int = argument(node, 6, "groups", 1)
        zeros = around(pad) if pad else ((0, 0), (0, 0))
        own = pair(argument(node, 4, "padding", 0))
        sides = [(before + more, after + more) for (before, after), more in zip(zeros, own, strict=True)]
        self.padding = [both_sides(*pairs) for pairs in zip(sides, self.stride, strict=True)]
        starts = [(most - side[0]) // step for most, side, step in zip(self.padding, sides, self.stride, strict=True)]
        self.cut = [slice(start, start + cells) for start, cells in zip(starts, size_of(node), strict=True)]
        self.cuts = any(before != after for before, after in sides)

    def __call__(self, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """N×C×H×W → N×O×h×w."""
        options = self.padding, self.stride, self.dilation, self.groups
        plain = maps.device.type == "cpu" and maps.dtype == torch.float32
        if plain and torch._C._has_mkldnn:  # for some shapes torch takes slower kernels
            dense = None if bias is None else bias.contiguous()  # it reads the memory as it lies
            found: Tensor = torch.mkldnn_convolution(maps, weight, dense, *options)
        else:
            found = torch.conv2d(maps, weight, bias, *(options[1], options[0], *options[2:]))
        if self.cuts:
            return found[:, :, *self.cut].contiguous(memory_format=torch.channels_last)
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
        if even or math.prod(shape_of(node)) <= math.prod(shape_of(source)):
            found[node] = pad
    return found


def is_plain(node: fx.Node) -> bool:
    """Whether a node is a convolution whose options are numbers: groups can be as many as there are images."""
    if node.target is not CONVOLUTION:
        return False
    options = [pair(argument(node, place, "", 1)) for place in (3, 4, 5)] + [[argument(node, 6, "", 1)]]
    return all(isinstance(number, int) for option in options for number in option) and not node.kwargs


def is_zero_padding(node: fx.Node) -> bool:
    """Whether a node puts zeros around the rows and columns of maps, and nothing else."""
    if operator_name(node) not in ("constant_pad_nd", "pad") or len(node.meta["val"].shape) != 4:
        return False
    amounts = argument(node, 1, "pad")
    value = argument(node, 2, "value", 0) if operator_name(node) == "constant_pad_nd" else argument(node, 3, "value")
    constant = operator_name(node) == "constant_pad_nd" or argument(node, 2, "mode", "constant") == "constant"
    whole = all(isinstance(amount, int) and amount >= 0 for amount in amounts)
    return constant and whole and len(amounts) in (2, 4) and (value is None or is_number(value, 0))


def around(pad: fx.Node) -> tuple[Sides, Sides]:
    """The zeros above and below, left and right, that a padding adds."""
    left, right, *more = argument(pad, 1, "pad")
    return (more[0], more[1]) if more else (0, 0), (left, right)


def both_sides(sides: Sides, stride: int) -> int:
    """The padding of both sides that has every cell of uneven padding, at the same phase of the stride."""
    before, after = sides
    return before + math.ceil(max(after - before, 0) / stride) * stride


def pair(value: Any) -> list[int]:
    """An option that may be given once for both axes."""
    values = list(value) if isinstance(value, Sequence) else [value]
    return values * 2 if len(values) == 1 else values


def shape_of(node: fx.Node) -> list[int]:
    """Units, rows and columns of a node's maps."""
    return [int(size) for size in node.meta["val"].shape[1:]]


def size_of(node: fx.Node) -> list[int]:
    """Rows and columns of a node's maps."""
    return shape_of(node)[1:]
