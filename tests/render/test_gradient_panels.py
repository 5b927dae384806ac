"""The drawing of signals: which pixels of the original, what captions say of crops, targets, rectifiers and starts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convscope
from convscope import Net
from convscope.arrays import Box
from convscope.models.backward import RULES, TITLES
from convscope.render.gradient import DRAWN, shown_image, touched
from convscope.render.methods import NAMES, PAPERS
from convscope.render.synthesis import CURVES
from convscope.techniques.gradient import deconvnet, guided_backprop, saliency
from convscope.techniques.sanity import sanity_check
from convscope.techniques.synthesis import class_model
from tests.nets import small_classifier

SIZE = (20, 24)
Technique = Callable[..., Any]
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
PHOTO = np.arange(100 * 120 * 3, dtype=np.uint32).reshape(100, 120, 3).astype(np.uint8)


@pytest.fixture(scope="module")
def net() -> Net:
    return Net(small_classifier(), size=SIZE, labels=["ant", "bee", "cat", "dog"], name="tiny")


def panels(result: object) -> tuple[Any, ...]:
    return convscope.draw(result)


def words(result: object) -> str:
    return str(panels(result)[0].caption)


def test_one_table_names_the_methods(net: Net) -> None:
    assert list(NAMES) == list(RULES)
    assert set(PAPERS) == set(NAMES.values()) == {"gradient", "deconvnet", "guided backprop"}
    assert all(TITLES[rule].endswith(NAMES[method]) for method, rule in RULES.items())
    found = sanity_check(net, IMAGE, "dog", levels=1)
    tiles, *curves = panels(found)
    names = [name[:1].upper() + name[1:] for name in NAMES.values()]
    assert [row.title for row in tiles.rows][1:] == names
    assert [[one.name for one in curve.series] for curve in curves] == [names, names]
    for name in names:
        assert f"{name}: " in tiles.caption


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (Box(0, 0, 100, 120), (0, 100), (0, 120)),
        (Box(10.5, 20.2, 30.4, 40.6), (10, 31), (20, 41)),
        (Box(99.6, 119.7, 100, 120), (99, 100), (119, 120)),  # the last half pixel
        (Box(100, 120, 100, 120), (99, 100), (119, 120)),
        (Box(-2, -3, 0.2, 0.1), (0, 1), (0, 1)),
        (Box(50, 60, 50, 60), (50, 51), (60, 61)),
    ],
)
def test_a_box_shows_every_pixel_that_it_touches(box: Box, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    np.testing.assert_array_equal(touched(PHOTO, box), PHOTO[slice(*rows), slice(*columns)])


def test_an_enlarged_original_shows_its_last_pixel() -> None:
    """A photo smaller than the net's input: its last pixel of the input is less than half a pixel of the original."""
    net = Net(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), size=(224, 224))
    result = saliency(net, np.random.default_rng(0).integers(1, 255, (80, 80, 3), dtype=np.uint8), "0:1@223,223")
    assert result.boxes[0].height < 0.5
    np.testing.assert_array_equal(shown_image(result, 0), result.prepared.original[-1:, -1:])
    assert panels(result)[0].rows[0].tiles[0].pixels.size


def test_ten_crops_are_told_apart_from_the_image(net: Net) -> None:
    single, crops = (words(saliency(net, IMAGE, "dog", crops=count)) for count in (1, 10))
    assert "Right its sum over the colours: orange" in single
    assert "the mean over 10 crops" in crops
    assert "Right the sum over the colours of the image's own gradient, not of the crops': orange" in crops


@pytest.mark.parametrize("technique", [saliency, deconvnet, guided_backprop])
def test_targets_that_are_not_drawn_are_counted(net: Net, technique: Technique) -> None:
    every = [f"5:{unit}" for unit in range(8)] + [f"2:{unit}" for unit in range(6)]
    (panel,) = panels(technique(net, IMAGE, every))
    assert len(panel.rows) == DRAWN == 12
    assert panel.title.startswith("14 targets: ")
    assert "The first 12 targets are drawn, the other 2 are not." in panel.caption
    (panel,) = panels(technique(net, IMAGE, every[:12]))
    assert "are drawn" not in panel.caption


def test_each_row_tells_its_own_rectifiers(net: Net) -> None:
    result = guided_backprop(net, IMAGE, ["0:1", "2:1", "5:1", "dog"])
    (panel,) = panels(result)
    counts = ("no rectifiers", "1 rectifier", "2 rectifiers", "2 rectifiers")
    assert [row.tiles[1].footer for row in panel.rows] == [f"guided backprop, {count}" for count in counts]
    assert (
        "0 to 2 rectifiers lie on the way. Where there is none, nothing is stopped: it is the gradient."
        in panel.caption
    )
    assert "1 to 2 rectifiers lie on the way. Mid-grey" in words(guided_backprop(net, IMAGE, ["2:1", "5:1"]))
    assert "2 rectifiers lie on the way of each. Mid-grey" in words(guided_backprop(net, IMAGE, ["5:1", "dog"]))
    assert "1 rectifier lies on the way. Mid-grey" in words(guided_backprop(net, IMAGE, "2:1"))


def test_where_no_rectifier_lies_only_guided_backprop_is_the_gradient(net: Net) -> None:
    guided, unit = guided_backprop(net, IMAGE, "0:1"), deconvnet(net, IMAGE, "0:1")
    gradient = saliency(net, IMAGE, "0:1").gradient
    torch.testing.assert_close(guided.signal, gradient)
    torch.testing.assert_close(unit.signal, gradient * unit.values[0])
    assert "No rectifier lies on the way, so nothing is stopped: it is the gradient." in words(guided)
    assert "It begins" not in words(guided)
    assert "It begins with the activation. No rectifier lies on the way, so nothing is stopped. Mid" in words(unit)


def test_a_deconvnet_says_what_it_begins_with(net: Net) -> None:
    assert " It begins with 1. " in words(deconvnet(net, IMAGE, "dog"))
    both = words(deconvnet(net, IMAGE, ["dog", "5:1"]))
    assert " A unit's signal begins with its activation, a class's with 1. " in both


def test_traces_that_are_not_drawn_are_counted(net: Net) -> None:
    model = class_model(net, [0, "5:1"], steps=2)
    several = replace(
        model, targets=model.targets[:1] * 10, names=model.names[:1] * 10, trace=model.trace[:1].repeat(10, 1),
        pixels=model.pixels[:1].repeat(10, 1, 1, 1), boxes=model.boxes[:1] * 10, scores=model.scores[:1] * 10,
        probabilities=model.probabilities[:1] * 10,
    )  # fmt: skip
    curve, many = panels(model)[1], panels(several)[1]
    assert curve.caption.startswith("The score (of a unit what enters its rectifier) ")
    assert curve.y_label == "score"
    assert "are drawn" not in curve.caption
    assert len(many.series) == CURVES == 8
    assert many.caption.endswith("The first 8 of 10 are drawn.")
    assert many.y_label == "score (logit)"
