"""Guided backprop where it was made for: All-CNN-C, a network without pools, trained here on real digits."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import convscope
from convscope.arrays import Place
from convscope.models.address import Address
from docs.all_cnn import DOCS, HIGH, PLACE, Measured, common_unit, digits_net, experiment, measure, signals
from tests.digits import accuracy, digits, trained_all_cnn


@pytest.fixture(scope="module")
def net() -> convscope.Net:
    return digits_net()


@pytest.fixture(scope="module")
def measured(net: convscope.Net) -> dict[tuple[str, str], Measured]:
    found = list(experiment(net, digits().test_images))
    return {("class" if one.start == "its class" else "unit", one.method): one for one in found}


def test_it_has_learnt_the_digits(net: convscope.Net) -> None:
    assert accuracy(trained_all_cnn()) > 0.95
    assert not [layer.name for layer in net.layers if "pool" in layer.kind and "avg" not in layer.kind]


@pytest.mark.parametrize("start", ["class", "unit"])
def test_a_deconvnet_sends_the_same_picture_to_every_image(
    measured: dict[tuple[str, str], Measured], start: str
) -> None:
    deconvnet, guided = measured[start, "deconvnet"], measured[start, "guided backprop"]
    assert deconvnet.images > 200
    assert deconvnet.alike == pytest.approx(1, abs=1e-6)
    assert deconvnet.found < 0.05
    assert guided.alike < 0.8


@pytest.mark.parametrize("start", ["class", "unit"])
def test_guided_backprop_shows_the_image_that_it_was_sent_to(
    measured: dict[tuple[str, str], Measured], start: str
) -> None:
    guided = measured[start, "guided backprop"]
    for other in (measured[start, "gradient"], measured[start, "deconvnet"]):
        assert guided.on_ink > other.on_ink + 0.15
        assert guided.correlation > other.correlation + 0.2
        assert guided.found > 5 * other.found
    assert guided.on_ink > 2 * guided.ink
    assert guided.size_on_ink < guided.on_ink - 0.2  # the dark beside a stroke counts too, with the other sign
    assert guided.found > 0.3


def test_the_techniques_say_the_same(net: convscope.Net) -> None:
    unit, active = common_unit(net, digits().test_images)
    images, target = digits().test_images[active][:2], str(Address(HIGH, unit, Place(*PLACE)))
    one, other = (convscope.deconvnet(net, image, target) for image in images)
    ratio = one.values[0] / other.values[0]  # each begins with the unit's own activation
    assert ratio > 0
    torch.testing.assert_close(one.signal, other.signal * ratio)
    scores = F.one_hot(torch.tensor([3]), 10).float()
    sent = signals(net, images, "scores", scores, "guided")
    for image, expected in zip(images, sent, strict=True):
        result = convscope.guided_backprop(net, image, 3)
        torch.testing.assert_close(result.signal.sum(0), expected)
        assert result.rectifiers == (9,)


def test_measures_of_signals_that_are_known() -> None:
    images = torch.zeros(3, 4, 4)
    images[0, 0], images[1, :, 1], images[2, 3] = 1, 1, 1
    same = measure("", "", images, images, torch.zeros(3))
    assert (same.on_ink, same.size_on_ink, same.ink, same.found) == (1, 1, 0.25, 1)
    assert same.correlation == pytest.approx(1)
    turned = measure("", "", images[[1, 1, 1]], images, torch.zeros(3))
    assert turned.alike == pytest.approx(1)
    assert turned.found == pytest.approx(1 / 3)
    assert turned.on_ink == pytest.approx((0.25 + 1 + 0.25) / 3)
    assert measure("", "", images * 2 - 1, images, torch.zeros(3)).size_on_ink == pytest.approx(0.25)


def test_the_page_has_its_picture_and_its_numbers(measured: dict[tuple[str, str], Measured]) -> None:
    page = (DOCS / "all-cnn.md").read_text()
    assert "(pictures/all-cnn.png)" in page
    picture: Path = DOCS / "pictures" / "all-cnn.png"
    assert picture.stat().st_size < 250_000
    with Image.open(picture) as drawn:
        assert min(drawn.size) > 1000
    for one in measured.values():  # numbers may differ in their last digits from machine to machine
        assert page.count(f"| {one.method} |") == 2, "run `python -m docs.all_cnn`"
