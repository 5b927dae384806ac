"""The slow twins of the folds: plain Python over stored activations, straight from the definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from convscope.passes.directions import Directions, random_directions
from convscope.passes.histogram import edges
from convscope.passes.places import Places
from tests.folds import FOLDS, LAYERS, images, state_of

BY_NAME = {fold.name: fold for fold in FOLDS}


def found(name: str, data: tuple) -> dict:
    fold = BY_NAME[name]
    return fold.finish(state_of(fold, list(range(len(data[2]))), data))


def maps_of(data: tuple, row: int, unit: int) -> np.ndarray:
    maps, scores, _ = data
    return maps[row, unit] if unit < 3 else scores[row, unit - 3].reshape(1, 1)


@settings(max_examples=60, deadline=None)
@given(data=images())
def test_strongest_equals_a_plain_sort(data: tuple) -> None:
    """Every unit, all images in a list, sorted; each content once, the lowest row of it."""
    result, contents = found("strongest", data), data[2]
    for unit in range(8):
        table = []
        for row in range(len(contents)):
            if contents[row] in contents[:row]:
                continue
            values = maps_of(data, row, unit)
            best = max((float(values[r, c]), -r, -c) for r in range(values.shape[0]) for c in range(values.shape[1]))
            table.append((-best[0], row, (-best[1], -best[2])))
        table.sort()
        expected = table[:4]
        assert result["rows"][unit].tolist()[: len(expected)] == [row for _, row, _ in expected]
        assert result["values"][unit].tolist()[: len(expected)] == [-value for value, _, _ in expected]
        places = [tuple(place) for place in result["places"][unit].tolist()]
        assert places[: len(expected)] == [place for _, _, place in expected]
        assert (result["rows"][unit][len(expected) :] == -1).all()


def test_a_unit_vector_as_direction_gives_the_units_own_patches() -> None:
    """Szegedy's control is the same work: e_i in place of a random v changes nothing."""
    random = np.random.default_rng(1)
    data = (
        random.random((14, 3, 2, 3), np.float32), random.random((14, 5), np.float32), [*range(12), 3, 4],
    )  # fmt: skip
    fold = Directions(LAYERS, k=4, count=3)
    fold.vectors["map"] = np.eye(3, dtype=np.float32)
    fold.vectors["scores"] = np.eye(5, dtype=np.float32)[1:4]
    along = fold.finish(state_of(fold, list(range(14)), data))
    units = found("strongest", data)
    for name in ("rows", "values", "places"):
        np.testing.assert_array_equal(along[name][:3], units[name][:3])
        np.testing.assert_array_equal(along[name][3:], units[name][4:7])


@settings(max_examples=30, deadline=None)
@given(data=images())
def test_directions_are_the_greatest_products(data: tuple) -> None:
    result, fold = found("directions", data), BY_NAME["directions"]
    np.testing.assert_array_equal(result["vectors"][:, :3], fold.vectors["map"])  # type: ignore[attr-defined]
    np.testing.assert_allclose(np.linalg.norm(random_directions("map", 40, 16, 0), axis=1), 1, rtol=1e-6)
    for direction in range(2):
        products = np.einsum("u,nuhw->nhw", fold.vectors["map"][direction], data[0])  # type: ignore[attr-defined]
        assert result["values"][direction, 0] == pytest.approx(products.max(), rel=1e-5, abs=1e-6)
        row, place = result["rows"][direction, 0], result["places"][direction, 0]
        assert products[row][tuple(place)] == pytest.approx(products.max(), rel=1e-5, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(data=images())
def test_the_middle_is_around_the_median_of_those_that_fire(data: tuple) -> None:
    result, contents = found("middle", data), data[2]
    sampled = [row for row in range(len(contents)) if row * 5 % 14 < 7]
    sampled = [row for row in sampled if contents[row] not in [contents[r] for r in sampled if r < row]]
    for unit in range(8):
        table = sorted((-float(maps_of(data, row, unit).max()), row) for row in sampled)
        table = [(value, row) for value, row in table if unit >= 3 or value < 0]
        start = max((len(table) - 3) // 2, 0)
        expected = [row for _, row in table[start : start + 3]]
        assert result["rows"][unit].tolist() == expected + [-1] * (3 - len(expected))
        for rank, row in enumerate(expected):
            assert maps_of(data, row, unit)[tuple(result["places"][unit, rank])] == result["values"][unit, rank]


@settings(max_examples=40, deadline=None)
@given(data=images())
def test_vitals_equal_their_definitions(data: tuple) -> None:
    result, count = found("vitals", data), len(data[2])
    for unit in range(8):
        maxima = [float(maps_of(data, row, unit).max()) for row in range(count)]
        mean, square = sum(maxima) / count, sum(value * value for value in maxima) / count
        assert result["maximum"][unit] == max(maxima)
        assert result["mean"][unit] == pytest.approx(mean, rel=1e-6, abs=1e-7)
        assert result["deviation"][unit] == pytest.approx(math.sqrt(max(square - mean**2, 0)), rel=1e-4, abs=1e-4)
        assert result["active_images"][unit] == pytest.approx(sum(value > 0 for value in maxima) / count, rel=1e-6)
        if square:
            assert result["lifetime"][unit] == pytest.approx(mean**2 / square, rel=1e-5)
        expected = np.histogram(maxima, [*edges(int(result["exponents"][unit]))[:-1], np.inf])[0]
        assert result["histogram"][unit].tolist() == expected.tolist()


def radius_of(values: np.ndarray) -> float:
    """√(Σ a |x - μ|² / Σ a), place by place."""
    total = sum(float(value) for value in values.flat)
    places = [(r, c, float(values[r, c])) for r in range(values.shape[0]) for c in range(values.shape[1])]
    row, column = (sum(place[axis] * place[2] for place in places) / total for axis in (0, 1))
    return math.sqrt(sum(a * ((r - row) ** 2 + (c - column) ** 2) for r, c, a in places) / total)


@settings(max_examples=40, deadline=None)
@given(data=images())
def test_places_equal_their_definitions(data: tuple) -> None:
    """Rectified maps, and scores that may be negative, image by image, place by place."""
    result = found("places", data)
    sampled = [row for row in range(len(data[2])) if row * 5 % 14 < 7]
    assert result["images"][0] == len(sampled)
    if not sampled:
        return
    for unit in range(8):
        maps = [maps_of(data, row, unit) for row in sampled]
        values = [float(value) for one in maps for value in one.flat]
        mean = sum(values) / len(values)
        assert result["active_places"][unit] == pytest.approx(
            sum(value > 0 for value in values) / len(values), rel=1e-6
        )
        assert result["mean_places"][unit] == pytest.approx(mean, rel=1e-6, abs=1e-7)
        deviation = math.sqrt(max(sum(value**2 for value in values) / len(values) - mean**2, 0))
        assert result["std_places"][unit] == pytest.approx(deviation, rel=1e-4, abs=1e-3)
        firing = [np.maximum(one, 0) for one in maps if one.max() > 0]
        if firing:
            radius = sum(radius_of(one) for one in firing) / len(firing)
            assert result["radius"][unit] == pytest.approx(radius, rel=1e-5, abs=1e-6)
            wide = sum(sum(value > one.max() / 2 for value in one.flat) / one.size for one in firing) / len(firing)
            assert result["half_area"][unit] == pytest.approx(wide, rel=1e-6)
        else:
            assert np.isnan(result["radius"][unit])
    for position, units in enumerate((range(3), range(3, 8))):
        hoyer, treves, zero = [], [], []
        for row in sampled:
            vector = [abs(float(value)) for unit in units for value in maps_of(data, row, unit).flat]
            zero.append(sum(value == 0 for value in vector) / len(vector))
            first, second = sum(vector), math.sqrt(sum(value**2 for value in vector))
            if second:
                root = math.sqrt(len(vector))
                hoyer.append((root - first / second) / (root - 1))
                treves.append((first / len(vector)) ** 2 / (second**2 / len(vector)))
        assert result["layer_zero"][position] == pytest.approx(sum(zero) / len(zero), rel=1e-5, abs=1e-7)
        if hoyer:
            assert result["layer_hoyer"][position] == pytest.approx(sum(hoyer) / len(hoyer), rel=1e-4, abs=1e-5)
            assert result["layer_treves_rolls"][position] == pytest.approx(sum(treves) / len(treves), rel=1e-5)


def test_sparsity_has_its_known_ends() -> None:
    """Hoyer: a constant is 0, one value alone is 1. Treves-Rolls: 1 and 1/n. A lone activation has no radius."""
    fold = Places(LAYERS, sample=14)
    maps = np.zeros((2, 3, 2, 3), np.float32)
    maps[0] = 2.0
    maps[1, 1, 1, 2] = 5.0
    even, alone = (fold.finish(state_of(fold, [row], (maps, np.ones((2, 5), np.float32), [1, 2]))) for row in (0, 1))
    assert even["layer_hoyer"][0] == pytest.approx(0, abs=1e-6)
    assert alone["layer_hoyer"][0] == pytest.approx(1)
    assert even["layer_treves_rolls"][0] == pytest.approx(1)
    assert alone["layer_treves_rolls"][0] == pytest.approx(1 / 18)
    assert alone["radius"][1] == 0
    assert alone["half_area"][1] == pytest.approx(1 / 6)
    assert even["radius"][0] == pytest.approx(radius_of(maps[0, 0]))


@settings(max_examples=40, deadline=None)
@given(data=images())
def test_classes_are_those_with_the_greatest_mean(data: tuple) -> None:
    result, count = found("classes", data), len(data[2])
    predicted = [int(np.argmax(data[1][row])) for row in range(count)]
    for unit in range(8):
        table = []
        for number in sorted(set(predicted)):
            values = [float(maps_of(data, row, unit).max()) for row in range(count) if predicted[row] == number]
            table.append((-sum(values) / len(values), number, len(values)))
        table.sort(key=lambda line: (line[2] < 5, *line))  # few images say little
        assert result["classes"][unit].tolist() == [n for _, n, _ in table] + [-1] * (5 - len(table))
        assert result["means"][unit, : len(table)].tolist() == pytest.approx([-m for m, _, _ in table], rel=1e-6)
        assert result["counts"][unit, : len(table)].tolist() == [c for _, _, c in table]


@settings(max_examples=20, deadline=None)
@given(data=images())
def test_codes_are_the_values_and_the_means_of_maps(data: tuple) -> None:
    result = found("codes", data)
    np.testing.assert_allclose(result["0"].astype(float), data[0].mean(axis=(2, 3)), rtol=1e-3)
    np.testing.assert_array_equal(result["1"], data[1].astype(np.float16))
    assert result["rows"].tolist() == list(range(len(data[2])))


def test_predictions_equal_a_plain_sort() -> None:
    scores = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    result = found("predictions", (np.zeros((6, 3, 2, 3), np.float32), scores, [1, 2, 3, 4, 5, 6]))
    for row in range(6):
        exponentials = [float(np.exp(np.float64(s))) for s in scores[row]]
        probabilities = [e / sum(exponentials) for e in exponentials]
        order = sorted(range(5), key=lambda c: -probabilities[c])
        assert result["classes"][row].tolist() == order
        assert result["probabilities"][row].tolist() == pytest.approx([probabilities[c] for c in order], rel=1e-6)
        target = row % 6 - 1
        if target < 0:
            assert result["correct"][row] == -1
            assert np.isnan(result["target_probabilities"][row])
        else:
            assert result["correct"][row] == int(order[0] == target)
            assert result["target_probabilities"][row] == pytest.approx(probabilities[target], rel=1e-6)
