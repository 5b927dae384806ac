"""Localisation: planted objects, the colour models and the cut against their definitions, real photos by hand-made boxes."""

import json
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convscope
from convscope.arrays import Box
from convscope.faces.demo import demo_photos
from convscope.models.backward import Backward
from convscope.models.starts import find_starts
from convscope.models.ten_crops import mean_over_crops
from convscope.technique import Watch
from convscope.techniques.localisation import (
    Localisation,
    bounding_box,
    colour_models,
    cut,
    find_seeds,
    largest_piece,
    segment,
)
from tests.nets import small_classifier

localise = partial(convscope.localise, crops=1, blur=0)  # the gradient as it is
SIZE, PLANTED = (48, 48), Box(10, 20, 26, 36)


class Patch(nn.Module):
    """Looks at one rectangle, smaller than the object that it lies in, hardly at what is near it, and at nothing else."""

    def __init__(self, top: int, left: int, bottom: int, right: int) -> None:
        super().__init__()
        self.edges = top, left, bottom, right

    def forward(self, x: Tensor) -> Tensor:
        top, left, bottom, right = self.edges
        near = x[:, :, max(top - 8, 0) : bottom + 8, max(left - 8, 0) : right + 8].pow(2).mean((1, 2, 3))
        mean = x[:, :, top:bottom, left:right].pow(2).mean((1, 2, 3)) + 0.01 * near
        return torch.stack([mean, -mean], 1)


class Constant(nn.Module):
    """Its scores do not depend on the image."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) * 0 + torch.tensor([1.0, 2.0, 0.0])


def planted(box: Box = PLANTED, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A red square on noisy green."""
    noise = np.random.default_rng(0).integers(-12, 13, (*size, 3))
    picture = np.full((*size, 3), (40, 120, 60)) + noise
    top, left, bottom, right = (int(edge) for edge in box)
    picture[top:bottom, left:right] = (200, 40, 50) + noise[top:bottom, left:right]
    return picture.astype(np.uint8)


def net(module: nn.Module | None = None) -> convscope.Net:
    return convscope.Net(module or Patch(14, 24, 22, 32), size=SIZE, name="patch")


def iou(one: Box | None, other: Box) -> float:
    if one is None:
        return 0.0
    common = one.clipped(other.bottom, other.right)
    height = max(0.0, common.bottom - max(common.top, other.top))
    width = max(0.0, common.right - max(common.left, other.left))
    area = height * width
    return area / (one.height * one.width + other.height * other.width - area)


def test_colour_carries_the_box_from_the_part_that_is_looked_at_to_the_whole_object() -> None:
    found = localise(net(), planted(), foreground=0.97)
    assert isinstance(found, Localisation)
    assert (found.box, found.input_box, found.reason) == (PLANTED, PLANTED, "")
    assert found.share == pytest.approx(16 * 16 / 48**2)
    assert bounding_box(found.mask) == PLANTED
    assert found.mask.sum() == 256
    assert (found.target, found.net, found.image) == ("class:0", "patch", "an array")
    with torch.no_grad():
        scores = net().scores(found.prepared.pixels)[0]
    assert found.score == pytest.approx(float(scores[0]))
    assert found.probability == pytest.approx(float(scores.softmax(0)[0]))


def test_of_two_objects_of_one_colour_the_larger_piece_is_kept() -> None:
    picture = planted()
    picture[38:44, 4:10] = (200, 40, 50)
    assert localise(net(), picture, foreground=0.97).box == PLANTED


def test_the_box_is_brought_back_to_the_original_image() -> None:
    large = np.kron(planted(), np.ones((3, 3, 1), np.uint8))
    wide = np.concatenate([np.full((144, 30, 3), (40, 120, 60), np.uint8), large, large[:, :30] * 0 + 90], 1)
    found = localise(net(), wide, foreground=0.97)
    assert found.input_box == PLANTED
    assert found.box == pytest.approx((30, 90, 78, 138))


@pytest.mark.parametrize("crops", [1, 10])
def test_a_flat_map_finds_nothing_and_says_so(crops: int, tmp_path: Path) -> None:
    found = localise(net(Constant()), planted(), crops=crops)
    assert found.box is None
    assert found.input_box is None
    assert found.share == 0
    assert "flat" in found.reason
    assert "none" in found.lines()[1][3]
    (panel,) = convscope.draw(found)
    assert "There is no box" in panel.caption
    with np.load(found.save(tmp_path / "none.npz")) as saved:
        assert np.isnan(saved["box"]).all()


def test_an_image_of_one_colour_has_a_clear_outcome() -> None:
    found = localise(net(), np.full((*SIZE, 3), 90, np.uint8))
    assert (found.box is None) == bool(found.reason)


def test_seeds_are_what_the_quantiles_say() -> None:
    values = np.random.default_rng(0).permutation(1000).reshape(20, 50).astype(float)
    seeds = find_seeds(values, 0.95, 0.3)
    assert (seeds == 1).sum() == 50
    assert (seeds == -1).sum() == 300
    assert values[seeds == 1].min() > values[seeds == 0].max()
    assert values[seeds == 0].min() > values[seeds == -1].max()
    sparse = np.zeros((20, 50))
    sparse[3, 4] = 1
    assert (find_seeds(sparse, 0.95, 0.3) == 1).sum() == 1
    assert (find_seeds(sparse, 0.95, 0.3) == -1).sum() == 999
    assert not (find_seeds(np.ones((4, 4)), 0.95, 0.3) == 1).any()


def test_colour_models_are_those_of_the_seeds_alone() -> None:
    """A mixture that was learnt from hard assignments has the seeds' own mean and covariance."""
    pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    seeds = find_seeds(np.random.default_rng(2).random((30, 40)), 0.9, 0.3)
    models = colour_models(pixels, seeds, 0)
    for model, chosen in zip(models, (seeds < 0, seeds > 0), strict=True):
        weights, means = model[0, :5], model[0, 5:20].reshape(5, 3)
        spreads = model[0, 20:].reshape(5, 3, 3)
        colours = pixels[chosen].astype(float)
        assert weights.sum() == pytest.approx(1)
        assert weights @ means == pytest.approx(colours.mean(0))
        apart = means - colours.mean(0)
        total = np.einsum("k,kij->ij", weights, spreads) + np.einsum("k,ki,kj->ij", weights, apart, apart)
        assert total == pytest.approx(np.cov(colours.T, bias=True), rel=1e-6, abs=1e-6)
    other = pixels.copy()
    other[seeds == 0] = 7
    for model, again in zip(models, colour_models(other, seeds, 0), strict=True):
        assert (model == again).all()
    before = [model.copy() for model in models]
    cut(pixels, *models)
    assert all((model == copy).all() for model, copy in zip(models, before, strict=True))


def test_few_seeds_of_one_colour_are_enough() -> None:
    pixels = planted()
    seeds = np.zeros(SIZE, np.int8)
    seeds[15, 25], seeds[2, 2], seeds[40, 40] = 1, -1, -1
    mask, reason = segment(pixels, seeds, 0)
    assert (reason == "") == bool(mask.any())


def test_the_largest_piece_joins_corners_and_ties_go_to_the_first() -> None:
    mask = np.zeros((6, 8), bool)
    mask[0, 0] = mask[1, 1] = mask[4, 5] = mask[4, 6] = True
    assert np.argwhere(largest_piece(mask)).tolist() == [[0, 0], [1, 1]]
    assert not largest_piece(np.zeros((3, 3), bool)).any()
    assert bounding_box(np.zeros((3, 3), bool)) is None


@pytest.mark.heavy
def test_same_seed_same_outcome_in_any_number_of_threads() -> None:
    photo, real = photos()["coffee"], convscope.load("efficientnet-lite0")
    first = localise(real, photo, seed=3)
    pixels = (first.prepared.pixels[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    threads = cv2.getNumThreads()
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            assert (segment(pixels, first.seeds, 3)[0] == first.mask).all()
    finally:
        cv2.setNumThreads(threads)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: localise(real, photo, seed=3), range(3)))
    assert all((one.mask == first.mask).all() and one.box == first.box for one in found)


def test_the_random_numbers_of_the_caller_stay_as_they_are() -> None:
    def drawn() -> list[float]:
        return [float(one) for one in np.ravel(cv2.randu(np.zeros(4, np.float32), 0, 1))]

    cv2.setRNGSeed(5)
    expected = drawn()
    cv2.setRNGSeed(5)
    localise(net(), planted())
    assert drawn() == expected


def test_units_and_blur() -> None:
    small = convscope.Net(small_classifier(), size=(32, 32), name="small")
    unit = localise(small, planted(Box(4, 4, 20, 20), (32, 32)), "0:1")
    assert unit.probability is None
    assert unit.lines()[1][2] == ""
    assert unit.target.startswith("0:1@")
    plain, soft = localise(net(), planted()), localise(net(), planted(), blur=3)
    assert float(soft.map.max()) < float(plain.map.max())
    assert float(soft.map.sum()) == pytest.approx(float(plain.map.sum()), rel=1e-3)


def test_options_and_images_are_checked() -> None:
    with pytest.raises(convscope.BadOption, match=r"background's quantile, 0\.97, is above"):
        localise(net(), planted(), background=0.97)
    with pytest.raises(convscope.BadOption, match="foreground is 1"):
        localise(net(), planted(), foreground=1)
    with pytest.raises(convscope.BadOption, match="crops is 3"):
        localise(net(), planted(), crops=3)  # type: ignore[arg-type]
    with pytest.raises(convscope.BadOption, match="no option 'blurr'"):
        localise(net(), planted(), blurr=3)  # type: ignore[call-arg]
    with pytest.raises(convscope.UnreadableImage):
        localise(net(), "nothing.png")
    with pytest.raises(convscope.ConvscopeError):
        localise(net(), planted(), 7)

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)) / 0

    with pytest.raises(convscope.UnreadableImage, match="not finite"):
        localise(net(Broken()), planted())

    class Steep(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x - x).sqrt().mean((2, 3))

    with pytest.raises(convscope.UnreadableImage, match="gradient at this image is not finite"):
        localise(net(Steep()), planted())


def photos() -> dict[str, Path]:
    return {photo.stem: photo for photo in demo_photos()}


@pytest.mark.parametrize(
    ("photo", "name", "drawn_by_hand"),
    [
        ("astronaut", "football helmet", Box(155, 126, 224, 224)),
        pytest.param("rocket", "missile", Box(61, 104, 224, 121), marks=pytest.mark.heavy),
        pytest.param("grace_hopper", "academic gown", Box(120, 0, 224, 224), marks=pytest.mark.heavy),
    ],
)
def test_objects_of_real_photos_are_found(photo: str, name: str, drawn_by_hand: Box) -> None:
    """Boxes in px of the net's input; what is cut out has to be the object too, not only to have its box."""
    found = localise(convscope.load("efficientnet-lite0"), photos()[photo], crops=10, blur=2)
    assert found.name == name
    assert iou(found.input_box, drawn_by_hand) > 0.6
    top, left, bottom, right = (int(edge) for edge in drawn_by_hand)
    assert found.mask[top:bottom, left:right].sum() / found.mask.sum() > 0.9


def test_the_picture_shows_every_step(tmp_path: Path) -> None:
    found = localise(net(), planted(), foreground=0.97)
    (panel,) = convscope.draw(found)
    assert panel.kind == "tiles"
    image, saliency, seeds, cut_out = panel.rows[0].tiles
    assert image.box == PLANTED
    assert saliency.pixels[0, 0].tolist() == [0, 0, 0]
    assert seeds.pixels[18, 28].tolist() == [240, 146, 48]
    assert seeds.pixels[2, 2].tolist() == [74, 156, 240]
    assert (cut_out.pixels[18, 28] == image.pixels[18, 28]).all()
    assert len(set(cut_out.pixels[2, 2].tolist())) == 1  # a grey
    assert "(top, left, bottom, right): 10, 20, 26, 36 px" in panel.caption
    json.dumps(panel.numbers(), allow_nan=False)
    assert found.save(tmp_path / "a.png").stat().st_size > 5000
    with np.load(found.save(tmp_path / "a.npz")) as saved:
        assert saved["box"].tolist() == list(PLANTED)
        assert saved["mask"].sum() == 256
        assert saved["seeds"].shape == SIZE


class Watching(Watch):
    """Notes what it is told; stops at some number of crops."""

    def __init__(self, stop: int = 99) -> None:
        self.told: list[tuple[int, int, str]] = []
        self.stop = stop

    def progress(self, done: int, total: int, unit: str) -> None:
        self.told.append((done, total, unit))
        if unit == "crops" and done >= self.stop:
            raise InterruptedError


@pytest.mark.parametrize("targets", [[0], [0, "2:1", 3, "2:4"]])
def test_ten_crops_tell_how_far_they_are_and_can_be_stopped(
    targets: list[int | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One Backward a layer serves all crops, and one is there at a time."""
    small = convscope.Net(small_classifier(), size=(32, 32), name="small")
    pixels = small.prepare(planted(Box(4, 4, 20, 20), (32, 32))).pixels
    made: list[weakref.ref[Backward]] = []
    alive: list[int] = []

    class Counted(Backward):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(weakref.ref(self))
            alive.append(sum(one() is not None for one in made))

    monkeypatch.setattr("convscope.models.ten_crops.Backward", Counted)
    asked = find_starts(small, targets)
    layers = len({start.layer.name for start in asked})
    watch = Watching()
    maps = mean_over_crops(small, pixels, asked, asked, watch=watch)
    assert maps.shape == (len(targets), 32, 32)
    assert watch.told == [(done, 10 * layers, "crops") for done in range(1, 10 * layers + 1)]
    assert alive == [1] * layers
    for number, one in enumerate(asked):
        torch.testing.assert_close(mean_over_crops(small, pixels, [one], [one])[0], maps[number], rtol=1e-5, atol=1e-8)
    with pytest.raises(InterruptedError):
        mean_over_crops(small, pixels, asked, asked, watch=Watching(3))


def test_localisation_tells_of_its_crops() -> None:
    watch = Watching()
    localise(net(), planted(), crops=10, watch=watch)
    assert watch.told == [(1, 1, "signals"), *((done, 10, "crops") for done in range(1, 11))]
