"""Filters: their measures' laws, controls, verdicts and pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

import convscope
from convscope.models.diversity import entropy_threshold, orthogonality, sparsity, variance_entropy
from convscope.models.kernels import weighted_layers
from convscope.models.roughness import (
    high_frequency,
    high_frequency_of_noise,
    leading_components,
    pattern_entropy,
    roughness,
    roughness_of_noise,
)
from convscope.models.shuffling import shuffled, strongest_slices, untrained, verdict, weighed
from convscope.techniques.filters import Filters, filters
from tests.digits import SIZE, accuracy, digits, trained_digits, untrained_digits
from tests.nets import small_classifier

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))


def noise(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


def gabor(size: int = 11) -> NDArray[np.float64]:
    rows, columns = np.mgrid[:size, :size] - size // 2
    wave = np.exp(-(rows**2 + columns**2) / (size / 2) ** 2) * np.cos(0.9 * columns + 0.4 * rows)
    return wave[None, None]


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.integers(0, 99), st.floats(1e-6, 1e6), st.floats(-100, 100), st.booleans())
def test_measures_do_not_change_with_scale_sign_and_shift(
    shape: tuple[int, ...], seed: int, scale: float, shift: float, negative: bool
) -> None:
    weights = noise(*shape, seed=seed)
    other = (weights + shift) * (-scale if negative else scale)
    for measure in (roughness, high_frequency):
        np.testing.assert_allclose(measure(other), measure(weights), rtol=1e-6)
    np.testing.assert_allclose(pattern_entropy(other), pattern_entropy(weights), rtol=1e-6, atol=1e-9)


@given(st.integers(0, 99), st.integers(2, 11))
def test_permuting_a_smooth_filter_makes_it_as_rough_as_noise(seed: int, size: int) -> None:
    weights = gabor(size + 4)
    order = np.random.default_rng(seed)
    mixed = np.stack([order.permutation(weights.ravel()).reshape(weights.shape[1:]) for _ in range(300)])
    assert roughness(weights)[0] < 0.5
    assert roughness(mixed).mean() == pytest.approx(roughness_of_noise(*weights.shape[2:]), abs=0.06)


def test_independent_weights_have_the_roughness_and_frequencies_expected_of_noise() -> None:
    assert roughness_of_noise(3, 3) == 1.125
    assert roughness_of_noise(11, 11) == pytest.approx(1.00833, abs=1e-5)
    for size in (3, 5, 11):
        weights = noise(4000, 2, size, size)
        assert roughness(weights).mean() == pytest.approx(roughness_of_noise(size, size), rel=0.01)
        assert high_frequency(weights).mean() == pytest.approx(high_frequency_of_noise(size, size), rel=0.01)


def test_known_roughness() -> None:
    ramp = np.broadcast_to(np.arange(4.0), (1, 1, 4, 4))  # 12 steps of 1, 12 of 0; variance 1.25
    assert roughness(ramp.copy())[0] == pytest.approx(0.5 * 12 / 24 / 1.25)
    board = np.indices((4, 4)).sum(0)[None, None] % 2 * 2.0 - 1  # every step is 2, variance 1
    assert roughness(board)[0] == pytest.approx(2)
    row = np.array([[[[1.0, 3.0]]]])
    assert roughness(row)[0] == pytest.approx(2)
    assert high_frequency(ramp.copy())[0] < 0.35 < 0.95 < high_frequency(board)[0]


def test_what_has_no_neighbours_or_is_constant_is_not_a_number() -> None:
    assert np.isnan(roughness(noise(3, 5, 1, 1))).all()
    flat = np.concatenate([np.full((1, 2, 3, 3), 0.1), noise(1, 2, 3, 3)])
    assert np.isnan(roughness(flat)).tolist() == [True, False]
    assert np.isnan(high_frequency(flat)).tolist() == [True, False]
    assert np.isnan(high_frequency(noise(2, 1, 2, 5))).all()
    assert np.isnan(pattern_entropy(flat[:1]))
    half = np.concatenate([np.full((1, 1, 3, 3), 7.0), noise(1, 1, 3, 3)], axis=1)
    assert roughness(half)[0] == pytest.approx(roughness(half[:, 1:])[0])  # a constant slice adds nothing


def test_pattern_entropy_is_0_for_one_pattern_and_1_for_noise() -> None:
    pattern = noise(1, 1, 5, 5)
    repeated = pattern * noise(200, 3, 1, 1, seed=1)
    assert pattern_entropy(repeated) == pytest.approx(0, abs=1e-6)
    assert pattern_entropy(noise(5000, 1, 5, 5)) == pytest.approx(1, abs=0.002)


@given(SHAPES, st.integers(0, 99))
def test_the_leading_component_is_the_best_single_pattern(shape: tuple[int, ...], seed: int) -> None:
    weights = noise(*shape, seed=seed)
    components, explained = leading_components(weights)
    for filter_, component, share in zip(weights, components, explained, strict=True):
        rows = filter_.reshape(shape[1], -1)
        values = np.linalg.svd(rows, compute_uv=False)
        assert np.linalg.norm(component) == pytest.approx(values[0])
        assert share == pytest.approx(values[0] ** 2 / (values**2).sum())
        assert (rows @ component.ravel()).sum() >= -1e-9
        if shape[1] == 1:
            np.testing.assert_allclose(component, filter_[0], atol=1e-9)
    assert np.isnan(leading_components(np.zeros(shape))[1]).all()


def test_the_measures_of_filter_db_reach_their_anchors() -> None:
    found = [round(entropy_threshold(rows), 4) for rows in (64, 256, 4096, 16384, 65536)]
    assert found == [0.9056, 0.9433, 0.9511, 0.9513, 0.9513]
    assert variance_entropy(noise(256, 1, 3, 3)) == pytest.approx(0.950, abs=0.002)
    assert variance_entropy(noise(65536, 1, 3, 3)) / entropy_threshold(65536) == pytest.approx(1.003, abs=5e-4)
    nearly = noise(1, 1, 3, 3) * noise(64, 64, 1, 1, seed=1) + 0.05 * noise(64, 64, 3, 3, seed=2)
    assert variance_entropy(nearly) == pytest.approx(0.014, abs=0.006)
    assert variance_entropy(np.full((4, 4, 3, 3), 0.3)) == 0
    assert sparsity(np.zeros((4, 4, 3, 3))) == 1
    assert sparsity(np.concatenate([noise(3, 2, 3, 3), 1e-4 * noise(1, 2, 3, 3)])) == 0.25


@given(st.integers(0, 99))
def test_orthogonality_does_not_change_with_the_length_of_a_filter(seed: int) -> None:
    weights, lengths = noise(6, 2, 3, 3, seed=seed), np.random.default_rng(seed).uniform(0.1, 9, (6, 1, 1, 1))
    assert orthogonality(weights * lengths) == pytest.approx(orthogonality(weights))
    assert orthogonality(np.eye(9).reshape(9, 1, 3, 3)) == 1
    assert orthogonality(np.ones((2, 1, 3, 3))) == pytest.approx(0)
    assert np.isnan(orthogonality(weights[:1]))


def test_controls_are_seeded_and_keep_what_they_claim() -> None:
    weights = np.concatenate([gabor()] * 3) * np.array([1.0, 2.0, -1.0])[:, None, None, None]
    null, again, other = (shuffled(weights, 99, seed, lambda *_: None) for seed in (4, 4, 5))
    assert (null.means == again.means).all()
    assert (null.means != other.means).any()
    assert null.per_filter == pytest.approx(np.full(3, roughness_of_noise(11, 11)), abs=0.05)
    assert null.interval[0] < null.means.mean() < null.interval[1]
    assert weighed(weights, null).p_value == 0.01  # no shuffle of 99 is as smooth
    told: list[tuple[int, int]] = []
    random = untrained(weights, 120, 0, lambda *step: told.append(step))
    assert told[-1] == (120, 120)
    assert random.means.mean() == pytest.approx(roughness_of_noise(11, 11), abs=0.02)
    assert weighed(noise(64, 1, 5, 5), shuffled(noise(64, 1, 5, 5), 99, 0, lambda *_: None)).p_value > 0.02


def test_of_huge_layers_the_strongest_slices_are_shuffled() -> None:
    weights = noise(300, 40, 5, 5) * np.arange(40)[:, None, None]
    kept = strongest_slices(weights, 99)
    assert kept.shape == (300, 2, 5, 5)
    spreads = np.sort(weights.var((2, 3)), axis=1)[:, ::-1]
    np.testing.assert_allclose(kept.var((2, 3)), spreads[:, :2])
    assert strongest_slices(weights[:4, :4], 99).shape == (4, 4, 5, 5)


def verdicts(net: convscope.Net, every: int = 1) -> tuple[dict[str, Filters], dict[str, str]]:
    """Of every so-manieth layer: what is found, and the grades of those whose kernels are larger than 1×1."""
    found = {name: filters(net, name) for name in list(weighted_layers(net))[::every]}
    grades = {name: result.grade for name, result in found.items() if result.weights.shape[-1] > 1}
    assert {result.grade for name, result in found.items() if name not in grades} == {"none"}
    return found, grades


@pytest.mark.parametrize(("every", "count"), [(4, 5), pytest.param(1, 17, marks=pytest.mark.heavy)])
def test_of_random_weights_every_layer_counts_as_noisy(every: int, count: int) -> None:
    _, grades = verdicts(convscope.load("efficientnet-lite0", pretrained=False), every)
    assert len(grades) == count
    assert set(grades.values()) == {"noisy"}


def test_of_trained_weights_no_layer_counts_as_noisy(lite0: convscope.Net) -> None:
    """What the constants rest on, with the test above."""
    found, grades = verdicts(lite0)
    assert len(grades) == 17
    assert "noisy" not in grades.values()
    assert grades["blocks.5.0.conv_dw"] == grades["blocks.2.0.conv_dw"] == "smooth"
    assert grades["conv_stem"] == "partly smooth"
    assert grades["blocks.6.0.conv_dw"] == "patterned"
    assert found["conv_stem"].first
    assert not found["blocks.5.0.conv_dw"].first
    assert found["blocks.5.0.conv_dw"].verdict == "smooth: 0.41 times as rough as shuffled weights (0.43 of 1.04)"
    assert found["classifier"].verdict == "1×1: no neighbours, so neither smooth nor noisy"
    assert found["blocks.2.0.conv_dw"].constant == 1


def test_training_and_weight_decay_make_filters_smoother() -> None:
    nets = {
        "untrained": untrained_digits(),
        "one epoch": trained_digits(epochs=1),
        "without decay": trained_digits(weight_decay=0.0),
        "trained": trained_digits(),
    }
    found = {name: filters(convscope.Net(net, size=SIZE, name=name), "0") for name, net in nets.items()}
    rough = [result.mean_roughness for result in found.values()]
    assert rough == sorted(rough, reverse=True)
    assert [result.grade for result in found.values()] == ["noisy", "partly smooth", "partly smooth", "smooth"]
    assert found["untrained"].verdict.endswith("under-trained or under-regularised")
    assert found["trained"].verdict.startswith("smooth: half as rough as shuffled weights")
    assert accuracy(nets["trained"]) > 0.95 > 0.6 > accuracy(nets["one epoch"])
    assert len(digits().test_labels) == 360


def test_the_result_holds_what_it_says(tmp_path: Path) -> None:
    module = small_classifier()
    result = filters(convscope.Net(module, size=(32, 32), name="small"), "2", shuffles=120, seed=3)
    assert isinstance(result, Filters)
    assert torch.equal(result.weights, module[0].weight)
    assert (result.layer, result.net, result.kind, result.first, result.seed) == ("0", "small", "conv2d", True, 3)
    assert result.components.shape == (6, 3, 3)
    assert result.null_roughness.mean() == pytest.approx(result.shuffled_roughness)
    assert result.shuffled_low < result.shuffled_roughness < result.shuffled_high
    assert result.entropy_ratio == pytest.approx(result.variance_entropy / entropy_threshold(18))
    lines = result.lines()
    assert lines[0] == ["filter", "roughness", "shuffled", "high frequency", "leading pattern", "norm"]
    assert len(lines) == 7
    assert float(lines[3][1]) == pytest.approx(float(result.roughness[2]), rel=1e-2)
    with np.load(result.save(tmp_path / "a.npz")) as saved:
        assert saved["weights"].shape == (6, 3, 3, 3)
        assert str(saved["grade"]) == "noisy"
    again = filters(convscope.Net(module, size=(32, 32), name="small"), "0", shuffles=120, seed=3)
    assert torch.equal(again.null_roughness, result.null_roughness)
    assert again.p_value == result.p_value


def test_options_are_checked() -> None:
    net = convscope.Net(small_classifier(), size=(32, 32))
    with pytest.raises(convscope.BadOption, match="shuffles is 3"):
        filters(net, "0", shuffles=3)
    with pytest.raises(convscope.BadOption, match="no option 'shuffle'"):
        filters(net, "0", shuffle=99)  # type: ignore[call-arg]
    with pytest.raises(convscope.UnknownLayer):
        filters(net, "conv2")


def test_constant_filters_get_no_verdict() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.constant_(module[0].weight, 0.5)
    result = filters(convscope.Net(module, size=(8, 8), name="flat"), "0")
    assert (result.grade, result.constant) == ("none", 2)
    assert result.verdict == "every filter is constant, so neither smooth nor noisy"
    assert [panel.kind for panel in convscope.draw(result)] == ["tiles"]


def test_a_rougher_layer_that_shares_patterns_is_not_called_noisy() -> None:
    board = np.indices((3, 3)).sum(0) % 2 * 2.0 - 1
    weights = board * noise(64, 1, 1, 1) + 0.2 * noise(64, 1, 3, 3, seed=1)
    grade, sentence = verdict(weighed(weights, shuffled(weights, 99, 0, lambda *_: None)), (3, 3))
    assert grade == "patterned"
    assert "rougher than shuffled weights" in sentence


def test_pictures_show_scale_sample_and_verdict(lite0: convscope.Net, tmp_path: Path) -> None:
    stem, deep, last = (filters(lite0, name) for name in ("conv_stem", "blocks.5.0.conv_dw", "classifier"))
    tiles, curve = convscope.draw(stem)
    assert (tiles.kind, curve.kind) == ("tiles", "curve")
    assert "All 32 filters of 3×3" in tiles.caption
    assert stem.verdict[1:] in tiles.caption
    assert "±3.7" in tiles.caption
    assert "partly smooth" in tiles.title
    assert "99 shuffles" in curve.caption
    assert "Seed 0" in curve.caption
    assert [series.control for series in curve.series] == [False, True, True]
    assert all(series.y.sum() == 32 for series in curve.series)
    flat = [tile for row in tiles.rows for tile in row.tiles]
    assert len(flat) == 32
    assert (flat[16].pixels == 128).all()  # weights that are nearly 0 are mid-grey
    assert flat[16].footer == "≈ 0"
    strongest = stem.weights[1, :, 0, 1] / 3.7
    assert flat[1].pixels[0, 1] == pytest.approx((127.5 + 127.5 * strongest).clamp(0, 255).numpy(), abs=6)
    shown = convscope.draw(deep)[0]
    assert "The first 256 of 672 filters" in shown.caption
    assert sum(len(row.tiles) for row in shown.rows) == 256
    assert [panel.kind for panel in convscope.draw(last)] == ["heat map"]
    assert "no neighbours" in convscope.draw(last)[0].caption
    assert deep.save(tmp_path / "deep.png").stat().st_size > 10_000
    for panel in (*convscope.draw(stem), *convscope.draw(deep)):
        json.dumps(panel.numbers(), allow_nan=False)


def test_deeper_filters_show_their_slices() -> None:
    result = filters(convscope.Net(trained_digits(), size=SIZE, name="digits"), "3")
    tiles, slices, _ = convscope.draw(result)
    assert "leading spatial pattern" in tiles.caption
    assert "the 16 strongest of 16 input channels" in slices.caption
    order = result.roughness.argsort()
    assert [row.title for row in slices.rows][0::3] == [f"filter {order[0]}", f"filter {order[-1]}"]
    smoothest = result.weights[order[0]].flatten(1).norm(dim=1)
    assert [int(tile.footer) for tile in slices.rows[0].tiles] == smoothest.argsort(descending=True).tolist()
