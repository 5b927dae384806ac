"""A convolution that pads for itself gives what padding and then convolving gives."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn

import convscope
from convscope.models.convolution import CONVOLUTIONS, Convolution
from convscope.models.stream import Stream
from tests.models.test_stream import assert_equal

PADS = (torch.ops.aten.pad.default, torch.ops.aten.constant_pad_nd.default)
few = st.integers(0, 3)


def nodes(maps: Tensor, amounts: list[int], weight: Tensor, options: tuple) -> tuple[fx.Node, fx.Node, Tensor]:
    """The nodes of a padding and of the convolution after it, and what the two give."""
    graph, padded = fx.Graph(), F.pad(maps, amounts)
    found = torch.conv2d(padded, weight, None, *options)
    source, kernel = graph.placeholder("maps"), graph.placeholder("weight")
    pad = graph.call_function(PADS[len(amounts) // 4], (source, amounts))
    convolution = graph.call_function(CONVOLUTIONS[0], (pad, kernel, None, *options))
    for node, value in ((source, maps), (kernel, weight), (pad, padded), (convolution, found)):
        node.meta["val"] = value
    return pad, convolution, found


@settings(max_examples=200, deadline=None)
@given(
    size=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    amounts=st.one_of(st.tuples(few, few, few, few), st.tuples(few, few)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    own=st.tuples(few, few),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from([1, 2, 4]),
    kind=st.sampled_from([torch.float32, torch.float64]),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_padding_for_itself_changes_nothing(size, amounts, kernel, stride, own, dilation, groups, kind, layout) -> None:
    maps = torch.rand(2, 4, *size, dtype=kind).contiguous(memory_format=layout)
    weight, amounts = torch.randn(8, 4 // groups, *kernel, dtype=kind), list(amounts)
    padded = F.pad(maps, amounts)
    extents = [(cells - 1) * gap + 1 for cells, gap in zip(kernel, dilation, strict=True)]
    assume(all(cells + 2 * more >= extent for cells, more, extent in zip(padded.shape[2:], own, extents, strict=True)))
    options = (list(stride), list(own), list(dilation), groups)
    pad, convolution, expected = nodes(maps, amounts, weight, options)
    found = Convolution(convolution, pad)(maps, weight, None)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    alone = Convolution(convolution)(padded, weight, None)
    torch.testing.assert_close(alone, expected, rtol=1e-5, atol=1e-5)


class Computed(nn.Module):
    """Convolutions whose bias lies scattered in memory, and whose groups are as many as the images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.biases = nn.Parameter(torch.randn(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.conv.weight, self.biases[:, 1])
        y = y + F.conv2d(x, self.conv.weight, self.biases[0, :1].expand(4))
        count, units, height, width = y.shape
        kernels = self.conv.weight[:, :1].repeat(count, 1, 1, 1)
        z = F.conv2d(y.reshape(1, count * units, height, width), kernels, groups=count * units)
        return F.relu(z.reshape(count, units, height - 2, width - 2)).mean((2, 3))


def test_what_is_computed_in_the_graph_is_read_as_it_is() -> None:
    torch.manual_seed(0)
    net, pixels = convscope.Net(Computed().eval(), size=(8, 8)), torch.rand(3, 3, 8, 8)
    names = [layer.name for layer in net.layers]
    assert_equal(net, names, pixels)


class Padded(nn.Module):
    """SAME as TensorFlow has it, with BatchNorm behind, and paddings that only look like it."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(3, 3, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.even = nn.Conv2d(3, 8, 3)
        self.wide = nn.Conv2d(8, 16, 5, padding=1)
        self.ones = nn.Conv2d(16, 4, 3, stride=2)
        self.twice = nn.Conv2d(4, 4, 3, stride=2)
        self.reflected = nn.Conv2d(4, 4, 3)
        self.cropped = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.same(F.pad(x, (0, 1, 0, 1)))))
        x = F.relu(self.even(F.pad(x, (1, 1, 1, 1))))
        x = F.relu(self.wide(F.pad(x, (0, 1, 1, 0))))  # the greater map would have to be cut
        x = F.relu(self.ones(F.pad(x, (0, 1, 0, 1), value=1.0)))
        padded = F.pad(x, (1, 2, 1, 2))
        x = F.relu(self.twice(padded)) + padded.mean((2, 3), keepdim=True)
        x = F.relu(self.reflected(F.pad(x, (1, 1, 1, 1), mode="reflect")))
        return self.cropped(F.pad(x, (-1, 0, 0, -1))).mean((2, 3))


@pytest.fixture(scope="module")
def net() -> convscope.Net:
    torch.manual_seed(0)
    return convscope.Net(Padded().eval(), size=(32, 32))


def own_paddings(net: convscope.Net, names: list[str]) -> dict[str, list[int]]:
    """Layer → the padding of its convolution in a stream, where it took that of the map before."""
    stream = Stream(net, names)
    by_node = {layer.node: layer.name for layer in net.layers}
    found = {}
    for step in stream.steps.all:
        if isinstance(step.operator, Convolution) and step.arguments[0].target not in PADS:
            found[by_node[step.node]] = step.operator.padding
    return found


def test_only_zeros_that_nobody_else_reads_are_taken(net: convscope.Net) -> None:
    assert own_paddings(net, ["cropped"]) == {"norm": [2, 2], "even": [1, 1]}  # (0, 1), at the phase of the stride


def test_what_was_asked_for_is_shown_padded(net: convscope.Net) -> None:
    names = [layer.name for layer in net.layers]
    pads = [layer.name for layer in net.layers if layer.node.target in PADS]
    assert len(pads) == 7
    assert "norm" not in own_paddings(net, names)
    pixels = torch.rand(2, 3, 32, 32)
    for asked in (names, pads, ["cropped"], ["norm", "even", "wide"]):
        assert_equal(net, asked, pixels)
