"""Dead units are found, and only they: planted ones, those of a learning rate far too high, and none where none is."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

import convscope
from convscope.passes.vitals import Vitals
from tests.builds import digit_files
from tests.digits import SIZE, accuracy, trained_digits, untrained_digits
from tests.folds import LAYERS, images, state_of
from tests.nets import Planted

LABELS = [str(digit) for digit in range(10)]


def pictures(folder: Path, count: int, side: int = 32) -> Path:
    """Smooth seeded pictures."""
    folder.mkdir(parents=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number:03d}.png")
    return folder


class Block(nn.Module):
    """A residual block with BatchNorm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norm_one, self.norm_two = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm_two(self.two(self.relu(self.norm_one(self.one(x))))) + x)


def residual() -> nn.Module:
    """A small ResNet with statistics of real batches."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), Block(8), nn.MaxPool2d(2), Block(8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip
    net.train()
    with torch.no_grad():
        for _ in range(5):
            net(torch.rand(8, 3, 32, 32))
    return net.eval()


def dead_units(atlas: convscope.Atlas) -> set[tuple[str, int]]:
    return {(layer, int(unit)) for layer in atlas.layers for unit in np.flatnonzero(atlas.vitals(layer).dead)}


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> tuple[convscope.Net, Path, convscope.Atlas]:
    """A small ResNet, pictures, and the atlas of both."""
    folder, net = tmp_path_factory.mktemp("alive"), convscope.Net(residual(), size=(32, 32))
    images = pictures(folder / "pictures", 24)
    return net, images, convscope.build(images, net, folder / "atlas")


@pytest.mark.parametrize(
    ("key", "layer", "unit"), [("1.bias", "2", 5), ("3.norm_one.bias", "3.relu", 0), ("5.norm_one.bias", "5.relu", 7)]
)
def test_a_planted_dead_filter_is_found_and_only_it(
    key: str, layer: str, unit: int, alive: tuple[convscope.Net, Path, convscope.Atlas], tmp_path: Path
) -> None:
    net, folder, before = alive
    state = {name: value.clone() for name, value in net.weights.items()}
    state[key][unit] = -1e6
    after = convscope.build(folder, net.with_weights(state), tmp_path / "after")
    assert dead_units(after) - dead_units(before) == {(layer, unit)}
    assert dead_units(before) <= dead_units(after)
    health = [dict(zip(atlas.health().layers, atlas.health().dead.tolist(), strict=True)) for atlas in (before, after)]
    assert health[1] == {**health[0], layer: health[0][layer] + 1}
    found = after.vitals(layer)
    assert found.gradient_dead[unit]
    assert found.maximum[unit] == 0
    assert "dead" in found.state(unit)
    assert not before.vitals(layer).dead[unit]


@pytest.mark.heavy
def test_a_dead_filter_in_the_bundled_network(lite0: convscope.Net, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures", 16, 224)
    net = lite0
    state = {name: value.clone() for name, value in net.weights.items()}
    state["blocks.3.1.bn1.bias"][100] = -1e6
    before = convscope.build(folder, net, tmp_path / "before")
    after = convscope.build(folder, net.with_weights(state), tmp_path / "after")
    gone = dead_units(after) ^ dead_units(before)
    assert ("blocks.3.1.bn1", 100) in gone
    assert {one for one in gone if one[0] == "blocks.3.1.bn1"} == {("blocks.3.1.bn1", 100)}


@settings(max_examples=40, deadline=None)
@given(data=images(), cut=st.integers(1, 14))
def test_more_images_never_make_a_unit_dead(data: tuple, cut: int) -> None:
    """Who fires on some of the images fires on all of them."""
    fold, count = Vitals(LAYERS), len(data[2])
    few = fold.finish(state_of(fold, list(range(min(cut, count))), data))
    more = fold.finish(state_of(fold, list(range(count)), data))
    dead_few, dead_more = few["active_images"] == 0, more["active_images"] == 0
    assert (dead_more <= dead_few).all()
    assert (more["maximum"] >= few["maximum"]).all()


def test_the_longer_one_looks_the_fewer_are_dead_and_the_better_one_knows(tmp_path: Path) -> None:
    """Prefixes of one listing: the dead are among those that were dead before, and the bound is 3/N."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        module[0].bias.uniform_(-1.2, 0)
    net = convscope.Net(module, size=SIZE)
    files = sorted(pictures(tmp_path / "pictures", 48, 16).iterdir())
    counts, before = [], None
    for number in (1, 2, 6, 16, 48):
        found = convscope.build(files[:number], net, tmp_path / str(number)).vitals("1")
        assert found.images == number
        assert found.dead_bound == pytest.approx(min(3 / number, 1))
        assert before is None or (found.dead <= before).all()
        before = found.dead
        counts.append(int(found.dead.sum()))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] > 0


@pytest.mark.parametrize("number", [4, 10, 100, 10_000])
def test_the_bound_holds_with_95_percent(number: int) -> None:
    """A unit that fires on a share of 3/N of all images would stay silent on N of them in fewer than one case in 20."""
    assert (1 - 3 / number) ** number < 0.05


def test_rarely_active_units_are_told_from_dead_ones(tmp_path: Path) -> None:
    """Red is in 1 of 150 images, green in 2, and filter 2 is dead."""
    folder = tmp_path / "colours"
    folder.mkdir()
    for number in range(150):
        colour = (200, 0, 0) if number == 70 else (0, 200, 0) if number in (3, 140) else (0, 0, 200)
        Image.new("RGB", (8, 8), colour).save(folder / f"{number:03d}.png")
    atlas = convscope.build(folder, convscope.Net(Planted(), size=(8, 8)), tmp_path / "atlas")
    found = atlas.vitals("/relu#1")
    assert found.dead.tolist() == [False, False, True]
    assert found.rarely_active.tolist() == [True, False, False]  # 2 of 150 are more than 1 %
    assert found.active_images.tolist() == pytest.approx([1 / 150, 2 / 150, 0])
    assert ["rare" in found.state(unit) for unit in range(3)] == [True, False, False]
    assert found.state(2).startswith("dead")
    assert (found.dead_bound, atlas.health().dead[0], atlas.health().rarely_active[0]) == (3 / 150, 1, 1)


def test_gradient_dead_units_are_those_whose_weights_no_longer_change(tmp_path: Path) -> None:
    """On real digits: the loss has no gradient in their weights, and has one in those of all others."""
    folder = digit_files(tmp_path / "digits", 64)  # as many as are sampled
    well, burnt = trained_digits(0.005, 16, 0.0, seed=8), trained_digits(0.3, 2, 0.0, seed=8)
    assert accuracy(well) > 0.95
    counts = {}
    for name, module in (("well", well), ("burnt", burnt)):
        atlas = convscope.build(folder, convscope.Net(module, size=SIZE, labels=LABELS), tmp_path / name)
        pixels = torch.cat([torch.from_numpy(atlas.pixels(row).copy()).permute(2, 0, 1)[None] for row in range(64)])
        labels = torch.tensor([int(label) for label in atlas.images["label"].to_pylist()])
        module.zero_grad()
        F.cross_entropy(module(pixels / 255), labels).backward()
        for layer, weights in (("1", module[0]), ("4", module[3])):
            silent = (weights.weight.grad.flatten(1) == 0).all(1) & (weights.bias.grad == 0)
            assert atlas.vitals(layer).gradient_sample == 64
            assert atlas.vitals(layer).gradient_dead.tolist() == silent.tolist(), (name, layer)
        module.zero_grad(set_to_none=True)
        counts[name] = int(atlas.health().gradient_dead[:2].sum())
    assert counts["well"] == 0
    assert counts["burnt"] >= 8


SMOOTH = nn.Sequential(
    nn.Conv2d(3, 6, 3), nn.SiLU(), nn.Conv2d(6, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
)
LINEAR = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("module", "layers", "silences"), [(SMOOTH, ("1", "3", "6"), 2), (LINEAR, ("0", "3"), 0)], ids=["smooth", "linear"]
)
def test_networks_without_any_rectifier(
    module: nn.Module, layers: tuple[str, ...], silences: int, tmp_path: Path
) -> None:
    folder = digit_files(tmp_path / "digits", 10)
    atlas = convscope.build(folder, convscope.Net(module, size=SIZE), tmp_path / "atlas")
    assert atlas.layers == layers
    health = atlas.health()
    assert (health.dead >= 0).tolist() == [position < silences for position in range(len(layers))]
    assert (health.gradient_dead == 0).all()
    assert len(atlas.exemplars(f"{layers[0]}:1")) == 9
    assert health.lines()[-1][2] == "–"


@pytest.mark.parametrize("size", [SIZE, (1, 1)])
def test_one_image_only(size: tuple[int, int], tmp_path: Path) -> None:
    """Every number is there; what needs two images is 0, and nothing divides by zero (warnings are errors here)."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    atlas = convscope.build(digit_files(tmp_path / "d", 1), convscope.Net(module, size=size), tmp_path / "atlas")
    found = atlas.vitals("1")
    assert (found.images, found.sample, found.gradient_sample, found.dead_bound) == (1, 1, 1, 1.0)
    assert (found.deviation == 0).all()
    assert (found.mean == found.maximum).all()
    assert np.isin(found.active_images, (0, 1)).all()
    alive = found.maximum > 0
    assert np.allclose(found.lifetime[alive], 1)
    assert np.isnan(found.lifetime[~alive]).all()
    assert found.histogram.sum() == 4
    patches = atlas.exemplars("1:0")
    assert (len(patches), len(patches.directions)) == (1, 2)
    assert atlas.health().lines()


def test_accuracy_counts_the_labels_that_are_classes(tmp_path: Path) -> None:
    net = convscope.Net(untrained_digits(), size=SIZE, labels=LABELS)
    folder = digit_files(tmp_path / "digits", 60)
    (folder / "7").rename(folder / "seven")  # no class
    atlas = convscope.build(folder, net, tmp_path / "atlas")
    right, labelled = 0, 0
    for row in atlas.images.to_pylist():
        scores = net.scores(net.prepare(row["uri"]).pixels)
        if row["label"] != "seven":
            labelled += 1
            right += int(scores.argmax()) == int(row["label"])
        else:
            assert row["correct"] is None
    health = atlas.health()
    assert 40 < labelled < 60
    assert health.labelled == labelled
    assert health.accuracy == pytest.approx(right / labelled)
    bare = convscope.build(sorted((folder / "seven").iterdir()), net, tmp_path / "bare").health()
    assert (bare.labelled, np.isnan(bare.accuracy)) == (0, True)
