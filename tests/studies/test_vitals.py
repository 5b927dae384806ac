"""Vitals of a layer and the health of a net, against the activations of every image."""

from pathlib import Path

import numpy as np
import pytest
import torch

import convscope
from convscope.render.draw import draw
from convscope.render.vitals import maxima, rebinned
from convscope.store.opened import AtlasStore
from convscope.studies.health import health
from convscope.studies.vitals import vitals
from tests.tiny_atlas import FULL_UNIT, SILENT_UNIT, tiny_atlas, tiny_net


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> convscope.Atlas:
    return tiny_atlas(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def values(atlas: convscope.Atlas) -> dict[str, np.ndarray]:
    """Every activation of every image, read through the net as it is."""
    net = tiny_net()
    pixels = np.stack([atlas.pixels(row) for row in range(len(atlas.images))]).transpose(0, 3, 1, 2)
    outputs = net.outputs(torch.from_numpy(pixels).float() / 255, list(atlas.layers))
    return {name: output.reshape(*output.shape[:2], -1).numpy() for name, output in outputs.items()}


def test_each_number_is_that_of_the_activations(atlas: convscope.Atlas, values: dict[str, np.ndarray]) -> None:
    for name in atlas.layers:
        result, own = atlas.vitals(name), values[name]
        peaks = own.max(2)
        np.testing.assert_allclose(result.maximum, peaks.max(0), rtol=1e-5)
        np.testing.assert_allclose(result.mean, peaks.mean(0), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(result.deviation, peaks.std(0), rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(result.active_images, (peaks > 0).mean(0))
        np.testing.assert_allclose(result.active_places, (own > 0).mean((0, 2)), rtol=1e-5)
        np.testing.assert_allclose(result.mean_places, own.mean((0, 2)), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(result.std_places, own.std((0, 2)), rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(result.histogram.sum(1), len(atlas.images))
        assert result.fraction_zero == pytest.approx((own == 0).mean(), abs=1e-6)


def test_only_the_planted_unit_is_dead(atlas: convscope.Atlas) -> None:
    first, second, output = (atlas.vitals(name) for name in atlas.layers)
    assert np.flatnonzero(first.dead).tolist() == [SILENT_UNIT]
    assert first.dead_bound == 0.5  # 3 of 6 images
    assert first.state(SILENT_UNIT) == "dead, no gradient"
    assert first.gradient_dead[FULL_UNIT]  # behind its ceiling nothing reaches it, though it is anything but dead
    assert not first.dead[FULL_UNIT]
    assert not second.dead.any() or (second.maximum[second.dead] <= 0).all()
    assert not output.dead.any()  # a score below 0 says nothing
    assert not output.gradient_dead.any()


def test_the_table_and_the_panels(atlas: convscope.Atlas) -> None:
    result = atlas.vitals(atlas.layers[0])
    lines = result.lines()
    assert lines[0][0] == "unit"
    assert lines[1 + SILENT_UNIT][-1] == "dead, no gradient"
    curve, heat, table = draw(result)
    assert "1 unit never above 0" in curve.caption
    assert heat.numbers()["values"]
    assert len(table.numbers()["rows"]) == len(result.maximum)
    assert table.numbers()["rows"][0][0] == SILENT_UNIT  # those that fire least come first
    shares, low, high, limit = maxima(result)
    np.testing.assert_allclose(shares.sum(0), 1, rtol=1e-6)  # of each unit all images
    assert low == 0
    assert high == 6
    assert 0 < limit <= 1


def test_bins_are_spread_over_others() -> None:
    found = rebinned(np.array([2, 6], np.int32), np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.5, 1.0, 2.0]))
    np.testing.assert_allclose(found, [1 / 8, 1 / 8, 6 / 8])


def test_unknown_layers_and_options(atlas: convscope.Atlas) -> None:
    with pytest.raises(convscope.UnknownLayer):
        atlas.vitals("nothing")
    with pytest.raises(convscope.BadAddress, match="did not follow"):
        atlas.vitals("0")
    with pytest.raises(convscope.BadOption, match="no option 'depth'"):
        vitals(AtlasStore(atlas.folder), atlas.layers[0], depth=3)  # type: ignore[call-arg]


def test_codes_are_those_before_the_classifier(atlas: convscope.Atlas) -> None:
    net = tiny_net()
    pixels = np.stack([atlas.pixels(row) for row in range(len(atlas.images))]).transpose(0, 3, 1, 2)
    codes = net.outputs(torch.from_numpy(pixels).float() / 255, [atlas.code_layer])[atlas.code_layer]
    np.testing.assert_allclose(atlas.codes(), codes.reshape(len(codes), -1).numpy(), rtol=2e-3, atol=1e-4)
    with pytest.raises(convscope.UnknownLayer, match="keeps no codes of '0'"):
        atlas.codes("0")


def test_codes_of_other_layers(tmp_path: Path) -> None:
    atlas = tiny_atlas(tmp_path)
    other = convscope.build(tmp_path / "images", tiny_net(), tmp_path / "other", codes=["3"])
    assert other.code_layer == atlas.code_layer
    assert other.codes("3").shape == (6, 6)
    np.testing.assert_array_equal(other.codes(), atlas.codes())


def test_health_is_the_sum_of_the_vitals(atlas: convscope.Atlas) -> None:
    result = atlas.health()
    assert result.layers == atlas.layers
    assert result.dead.tolist()[0] == 1
    assert result.dead.tolist()[-1] == -1  # of scores nothing is said
    for at, name in enumerate(atlas.layers):
        one = atlas.vitals(name)
        assert result.units[at] == len(one.maximum)
        assert result.gradient_dead[at] == one.gradient_dead.sum()
        assert result.fraction_zero[at] == pytest.approx(one.fraction_zero)
    assert result.labelled == 2
    assert result.accuracy == sum(value for value in atlas.images["correct"].to_pylist() if value is not None) / 2
    assert result.lines()[-1][2] == "–"
    depth, locality, table = draw(result)
    assert len(depth.numbers()["series"][0]["y"]) == 2  # the output is no rectified layer
    assert locality.numbers()["series"]
    assert "of 2 images with a label that is a class" in table.caption
    with pytest.raises(convscope.BadOption, match="no option 'layer'"):
        health(AtlasStore(atlas.folder), layer="0")  # type: ignore[call-arg]
