"""The gradient methods side by side: the same signals as of each alone, one scale, and what has no rule."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

import convscope
from convscope import Net
from convscope.render.panels import Tiles
from convscope.techniques.comparison import GradientMethods, gradient_methods
from tests.nets import small_classifier

SIZE = (20, 24)


def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def net() -> Net:
    return Net(small_classifier(), size=SIZE, labels=["ant", "bee", "cat", "dog"], name="tiny")


def unit_of(net: Net) -> str:
    """A unit behind a rectifier that is active on the picture."""
    layer = next(one for one in net.layers if one.rectified and one.spatial)
    values = convscope.activations(net, picture(), layer.name).unit_max
    return f"{layer.name}:{int(values.argmax())}"


@pytest.mark.parametrize("kind", ["class", "unit"])
def test_each_is_what_the_method_gives_alone_begun_with_one(net: Net, kind: str) -> None:
    target = "dog" if kind == "class" else unit_of(net)
    found = gradient_methods(net, picture(), target)
    assert found.methods == ("saliency", "deconvnet", "guided_backprop")
    signals = [convscope.saliency(net, picture(), target).gradient]
    signals += [
        technique(net, picture(), target).signal for technique in (convscope.deconvnet, convscope.guided_backprop)
    ]
    if kind == "unit":
        assert found.value > 0
        signals[1] = signals[1] / found.value  # alone a deconvnet begins with the activation, and is homogeneous
    torch.testing.assert_close(found.signals, torch.stack(signals))
    assert found.box == convscope.deconvnet(net, picture(), target).box
    assert found.target == ("class:3" if kind == "class" else convscope.deconvnet(net, picture(), target).targets[0])


@pytest.mark.parametrize("wanted", ["negative", "zero"])
def test_a_deconvnet_begins_with_one_where_the_activation_is_not_above_zero(wanted: str) -> None:
    """Behind no rectifier: the signal of −a is not −1 times that of a, since rectifiers on the way see its sign."""
    torch.manual_seed(0)
    first, last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)
    with torch.no_grad():
        for layer in (first, last):
            assert layer.bias is not None
            layer.bias.zero_()
        last.weight[0] = -last.weight[0].abs() if wanted == "negative" else 0 * last.weight[0]
    net = Net(nn.Sequential(first, nn.ReLU(), last, nn.AdaptiveAvgPool2d(1), nn.Flatten()), size=SIZE)
    found = gradient_methods(net, picture(), "2:0@4,4")
    assert found.value <= 0
    back = F.conv_transpose2d(torch.relu(last.weight[:1].detach()), first.weight.detach())  # rectified on its way
    expected = torch.zeros(3, *SIZE)
    expected[:, 4:9, 4:9] = back[0]
    torch.testing.assert_close(
        found.signals[1] / found.signals[1].abs().max().clamp_min(1e-9), expected / expected.abs().max().clamp_min(1e-9)
    )


def test_what_makes_them_differ_is_rectifiers() -> None:
    torch.manual_seed(0)
    net = Net(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(80, 3)), size=SIZE)
    found = gradient_methods(net, picture(), 1)
    assert found.rectifiers == 0
    torch.testing.assert_close(found.signals[1:], found.signals[:1].expand(2, -1, -1, -1))
    assert "No rectifier lies on the way" in caption(found)


def caption(found: GradientMethods) -> str:
    (panel,) = convscope.draw(found)
    return str(panel.caption)


def test_methods_without_a_rule_are_left_out_and_named() -> None:
    torch.manual_seed(0)
    net = Net(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)), size=SIZE
    )
    found = gradient_methods(net, picture())
    assert found.methods == ("saliency",)
    assert len(found.refused) == 2
    assert "silu" in caption(found)
    assert "on the way" not in caption(found)  # nothing is said of methods that are not there
    with pytest.raises(convscope.NoRule, match=r"works on every network"):
        gradient_methods(net, picture(), methods=("deconvnet",))


def test_the_picture_has_a_row_a_method_and_a_scale_for_the_last_column(net: Net) -> None:
    found = gradient_methods(net, picture(), "dog")
    (panel,) = convscope.draw(found)
    assert isinstance(panel, Tiles)
    assert [row.title for row in panel.rows] == ["Gradient", "Deconvnet", "Guided backprop"]
    sums = found.signals.double().sum(1).numpy()
    reaches = [np.quantile(np.abs(one)[np.abs(one) > 0], 0.995) for one in sums]
    assert panel.scale is not None
    assert panel.scale.limits == pytest.approx((-np.median(reaches), np.median(reaches)))
    for row, total in zip(panel.rows, sums, strict=True):
        assert [tile.values is None for tile in row.tiles] == [True, True, True, False]
        np.testing.assert_array_equal(row.tiles[3].values, total)


def silence(convolution: nn.Module) -> None:
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    with torch.no_grad():
        convolution.bias[0] = -100.0


def test_a_unit_is_cut_to_what_it_sees_and_a_silent_one_is_said() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    silence(module[0])
    found = gradient_methods(Net(module, size=SIZE), picture(), "1:0@4,5")
    assert not found.signals[::2].any()  # the gradient and guided backprop of a unit at rest
    assert found.value == 0
    (panel,) = convscope.draw(found)
    assert isinstance(panel, Tiles)
    assert panel.rows[0].tiles[0].pixels.shape == (3, 3, 3)
    assert "Nothing comes back by gradient" in panel.caption


def test_what_is_refused(net: Net) -> None:
    with pytest.raises(convscope.UnknownLayer, match="nowhere"):
        gradient_methods(net, picture(), "nowhere:3")
    several: Any = np.array([1, 2])
    with pytest.raises((convscope.BadAddress, convscope.BadOption, TypeError)):
        gradient_methods(net, picture(), several)


def test_numbers(net: Net) -> None:
    found = gradient_methods(net, picture(), "dog", methods=("guided_backprop", "saliency"))
    assert found.methods == ("guided_backprop", "saliency")
    arrays = found.arrays()
    assert arrays["methods"].tolist() == ["guided_backprop", "saliency"]
    assert arrays["signals"].shape == (2, 3, *SIZE)
    lines = found.lines()
    assert lines[0] == ["method", "greatest |signal|", "below 0", "exactly 0"]
    assert float(lines[1][1]) == pytest.approx(float(found.signals[0].abs().max()), rel=1e-3)
