"""The slow twins of what only a whole build computes: plain loops over the stored activations of every image."""

import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convscope
from convscope.arrays import Place
from convscope.passes.boxes import boxes_of
from convscope.passes.build import follow
from convscope.passes.fold import Batch, State, Units
from convscope.passes.gradients import Gradients
from convscope.passes.maps import SIDE, UNITS, reduced
from tests.builds import digit_files
from tests.digits import SIZE
from tests.nets import Branches

COUNT = 100
CAPPED, PLAIN, OUTPUT = "1", "4", "7"


def capped() -> nn.Module:
    """Weights so large that most units reach the ceiling of a ReLU6 on some digits."""
    torch.manual_seed(2)
    net = nn.Sequential(
        nn.Conv2d(3, 70, 3), nn.ReLU6(), nn.MaxPool2d(2), nn.Conv2d(70, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip
    with torch.no_grad():
        net[0].weight *= 12
    return net


@pytest.fixture(scope="module")
def net() -> convscope.Net:
    return convscope.Net(capped(), size=SIZE, labels=[str(digit) for digit in range(10)])


@pytest.fixture(scope="module")
def atlas(net: convscope.Net, tmp_path_factory: pytest.TempPathFactory) -> convscope.Atlas:
    folder = tmp_path_factory.mktemp("atlas")
    return convscope.build(digit_files(folder / "digits", COUNT), net, folder / "atlas")


@pytest.fixture(scope="module")
def pixels(atlas: convscope.Atlas) -> Tensor:
    crops = [torch.from_numpy(atlas.pixels(row).copy()).permute(2, 0, 1) for row in range(COUNT)]
    return torch.stack(crops) / 255


@pytest.fixture(scope="module")
def stored(net: convscope.Net, pixels: Tensor) -> dict[str, np.ndarray]:
    """Layer → N×C×H×W, the activations of every image, and under "0" what enters the layer with the ceiling."""
    return {name: value.numpy().reshape(COUNT, value.shape[1], *(value.shape[2:] or (1, 1)))
            for name, value in net.outputs(pixels, ["0", CAPPED, PLAIN, OUTPUT]).items()}  # fmt: skip


def units_of(atlas: convscope.Atlas) -> Iterator[tuple[str, int, int]]:
    """Layer, unit, and where it stands among all units."""
    for layer in atlas.layers:
        start, count = atlas.store.followed[layer]
        yield from ((layer, unit, start + unit) for unit in range(count))


def drives_of(stored: dict[str, np.ndarray], layer: str, unit: int) -> list[float]:
    """What the images are ranked by: the greatest input of a rectifier with a ceiling, else the activation."""
    if layer == CAPPED:
        return [max(float(value), 0.0) for value in stored["0"][:, unit].max((1, 2))]
    return [float(value) for value in stored[layer][:, unit].max((1, 2))]


def test_the_digits_reach_the_ceiling_often(stored: dict[str, np.ndarray]) -> None:
    """Else the tests below would show little."""
    at = (stored[CAPPED].max((2, 3)) == 6).sum(0)
    assert (at > 9).sum() >= 10


def test_the_strongest_are_ranked_by_what_enters_the_ceiling(
    atlas: convscope.Atlas, stored: dict[str, np.ndarray]
) -> None:
    for layer, unit, _ in units_of(atlas):
        drives = drives_of(stored, layer, unit)
        expected = sorted(drives, reverse=True)[:9]
        patches = atlas.exemplars(f"{layer}:{unit}")
        assert [drives[patch.row] for patch in patches] == pytest.approx(expected, rel=1e-5, abs=1e-5)
        for patch in patches:
            found = stored[layer][patch.row, unit]
            assert patch.value == pytest.approx(float(found.max()), rel=1e-5, abs=1e-5)
            assert float(found[patch.place]) == pytest.approx(float(found.max()), rel=1e-5, abs=1e-5)


def test_the_middle_is_around_the_median_drive(atlas: convscope.Atlas, stored: dict[str, np.ndarray]) -> None:
    """All 100 images are in the sample of 128."""
    for layer, unit, _ in units_of(atlas):
        drives = drives_of(stored, layer, unit)
        fire = sorted((drive for drive in drives if layer == OUTPUT or drive > 0), reverse=True)
        start = max((len(fire) - 3) // 2, 0)
        found = [patch.row for patch in atlas.exemplars(f"{layer}:{unit}").middle]
        assert [drives[row] for row in found] == pytest.approx(fire[start : start + 3], rel=1e-5, abs=1e-5)
        values = [patch.value for patch in atlas.exemplars(f"{layer}:{unit}").middle]
        assert values == pytest.approx([float(stored[layer][row, unit].max()) for row in found], rel=1e-5, abs=1e-5)


def test_directions_are_products_at_every_place(atlas: convscope.Atlas, stored: dict[str, np.ndarray]) -> None:
    vectors = np.array(atlas.store.array("directions/vectors"))
    rows, values = (np.array(atlas.store.array(f"directions/{name}")) for name in ("rows", "values"))
    start = 0
    for number, layer in enumerate(atlas.layers):
        maps = stored[layer].astype(np.float64)
        for direction in range(16):
            along = [
                max(
                    sum(
                        float(v) * float(a)
                        for v, a in zip(vectors[direction, start:], maps[row, :, r, c], strict=False)
                    )
                    for r, c in itertools.product(range(maps.shape[2]), range(maps.shape[3]))
                )
                for row in range(0, COUNT, 10)
            ]
            kept = dict(zip(rows[16 * number + direction], values[16 * number + direction], strict=True))
            worst = float(min(kept.values()))
            for row, value in zip(range(0, COUNT, 10), along, strict=True):
                if row in kept:
                    assert kept[row] == pytest.approx(value, rel=1e-4, abs=1e-4)
                else:
                    assert value <= worst + 1e-4
        start += maps.shape[1]


def test_vitals_and_classes_count_activations_and_not_drives(
    atlas: convscope.Atlas, net: convscope.Net, pixels: Tensor, stored: dict[str, np.ndarray]
) -> None:
    predicted = net.scores(pixels).argmax(1).tolist()
    for layer in atlas.layers:
        vitals, peaks = atlas.vitals(layer), stored[layer].max((2, 3)).astype(np.float64)
        np.testing.assert_allclose(vitals.maximum, peaks.max(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(vitals.mean, peaks.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(vitals.deviation, peaks.std(0), rtol=1e-3, atol=1e-4)
        for unit in range(0, peaks.shape[1], 3):
            means = {}
            for number in sorted(set(predicted)):
                own = [float(peaks[row, unit]) for row in range(COUNT) if predicted[row] == number]
                means[number] = (len(own) < 5, -sum(own) / len(own), len(own))
            expected = [value for value in sorted(means.values())[:5] if value[1] < 0]
            found = atlas.exemplars(f"{layer}:{unit}").classes
            assert [one.mean for one in found] == pytest.approx([-mean for _, mean, _ in expected], rel=1e-4, abs=1e-5)
            assert [one.images for one in found] == [count for _, _, count in expected]


def note(caught: list[Tensor], part: nn.Module, given: tuple[Tensor, ...]) -> None:
    caught.append(given[0])


def largest_gradients(net: convscope.Net, pixels: Tensor) -> np.ndarray:
    """(U,) image by image with hooks: the greatest size of the gradient of the mixed scores before each activation."""
    module, found = capped(), []
    parts = [module[int(layer)] for layer in (CAPPED, PLAIN)]
    mix = torch.randn(10, generator=torch.Generator().manual_seed(0))
    for image in pixels:
        caught: list[Tensor] = []
        keep = partial(note, caught)
        handles = [part.register_forward_pre_hook(keep) for part in parts]
        scores = module(image[None])
        for handle in handles:
            handle.remove()
        gradients = torch.autograd.grad((scores @ mix).sum(), caught)
        found.append(np.concatenate([*(one.abs().amax((0, 2, 3)).numpy() for one in gradients), mix.abs().numpy()]))
    return np.max(found, axis=0)


def batch_of(rows: list[int], pixels: Tensor) -> Batch:
    numbers = np.array(rows, np.int64)
    return Batch(numbers, numbers.astype(np.uint64), numbers, (numbers * 7) % 16, pixels[rows])


def test_gradients_are_the_greatest_of_the_sample(net: convscope.Net, pixels: Tensor) -> None:
    fold = Gradients(net, follow(net, None), sample=9)
    state = fold.none()
    rows = list(range(16))
    fold.add(state, batch_of(rows, pixels))
    sampled = [row for row in rows if row * 7 % 16 < 9]
    expected = largest_gradients(net, pixels[sampled])
    assert int(state["images"][0]) == 9
    np.testing.assert_allclose(fold.finish(state)["gradient"], expected, rtol=1e-4, atol=1e-7)
    assert (expected == 0).tolist() == (fold.finish(state)["gradient"] == 0).tolist()


@pytest.mark.parametrize("seed", range(4))
def test_gradients_are_the_same_in_any_grouping_and_order(seed: int, net: convscope.Net, pixels: Tensor) -> None:
    """The law of every fold, for the one that needs a network."""
    random = np.random.default_rng(seed)
    fold = Gradients(net, follow(net, None), sample=11)

    def learnt(rows: list[int]) -> State:
        state = fold.none()
        fold.add(state, batch_of(rows, pixels))
        return state

    order, whole = random.permutation(16).tolist(), learnt(list(range(16)))
    cuts = sorted(random.integers(1, 16, 3).tolist())
    states = [learnt(order[a:b]) for a, b in itertools.pairwise([0, *cuts, 16]) if a < b]
    left = right = fold.none()
    for state in states:
        left = fold.merge(left, state)
    for state in reversed(states):
        right = fold.merge(state, right)
    for merged in (left, right):
        assert merged["images"] == whole["images"] == 11
        np.testing.assert_allclose(merged["gradient"], whole["gradient"], rtol=1e-5, atol=1e-9)
    alone = fold.merge(fold.none(), fold.merge(whole, fold.none()))
    assert all(np.array_equal(alone[name], whole[name]) for name in whole)


def test_sample_maps_are_the_activations_as_bytes(atlas: convscope.Atlas, stored: dict[str, np.ndarray]) -> None:
    """Three images that the net is surest of, each of another predicted class and label; at most 64 units of a layer."""
    shown = atlas.store.manifest["maps"]
    table = atlas.images.select(["probability", "predicted", "label"]).to_pylist()
    chosen: list[int] = []
    for row in sorted(range(COUNT), key=lambda row: (-table[row]["probability"], row)):
        others = [table[one] for one in chosen]
        if len(chosen) < 3 and all(
            table[row][name] != other[name] for other in others for name in ("predicted", "label")
        ):
            chosen.append(row)
    assert shown["rows"] == chosen
    assert shown["layers"] == [CAPPED, PLAIN]
    for number, row in enumerate(chosen):
        for position, layer in enumerate(shown["layers"]):
            kept = np.array(atlas.store.array(f"maps/{number}/{position}"))
            low, high = shown["scales"][number][position]
            maps = stored[layer][row]
            units = [round(i * (len(maps) - 1) / (min(len(maps), UNITS) - 1)) for i in range(min(len(maps), UNITS))]
            assert len(kept) == len(units)
            assert low == 0
            assert high == pytest.approx(max(float(maps[unit].max()) for unit in units), rel=1e-5)
            for place, unit in enumerate(units):
                values = low + kept[place].astype(np.float64) / 255 * (high - low)
                assert np.abs(values - maps[unit]).max() <= 0.51 * (high - low) / 255


def test_large_maps_keep_the_greatest_value_of_every_joined_place() -> None:
    """Signed maps of more than 56 places a side: of the places that one pixel stands for, the greatest in size."""
    random = np.random.default_rng(0)
    maps = random.normal(size=(2, 100, 57)).astype(np.float32)
    found = reduced(torch.from_numpy(maps)).numpy()
    assert found.shape == (2, SIDE, SIDE)
    for unit, r, c in itertools.product(range(2), range(0, SIDE, 5), range(SIDE)):
        rows = range(r * 100 // SIDE, -(-(r + 1) * 100 // SIDE))
        columns = range(c * 57 // SIDE, -(-(c + 1) * 57 // SIDE))
        joined = [float(maps[unit, row, column]) for row in rows for column in columns]
        assert float(found[unit, r, c]) == max(joined, key=abs)


def test_boxes_are_those_of_each_place_alone() -> None:
    """Branches of different reach side by side: each unit has its own box, a direction the box of all of them."""
    net = convscope.Net(Branches(), size=(12, 12))
    followed = follow(net, ["/cat#1", "fine", "coarse", "/relu#1", "head"])
    random, units = np.random.default_rng(0), Units(followed)
    places = np.zeros((units.count, 5, 2), np.int16)
    for layer in followed:
        if layer.places:
            places[units.slices[layer.name]] = random.integers(0, layer.places, (layer.units, 5, 2))
    alone, mixed = boxes_of(net, units, places), boxes_of(net, units, places, mixed=True)
    for layer in followed:
        for unit, rank in itertools.product(range(layer.units), range(5)):
            position = units.slices[layer.name].start + unit
            place = Place(*places[position, rank].tolist()) if layer.places else None
            own = net.layer(layer.name)
            assert tuple(alone[position, rank].tolist()) == tuple(own.input_box(unit, place))
            assert tuple(mixed[position, rank].tolist()) == tuple(own.input_box(None, place))
    assert not np.array_equal(alone, mixed)
