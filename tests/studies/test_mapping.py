"""The map: the same bytes from the same seed, kept and found again, its numbers, stops, few images and bad codes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import convscope
from convscope.atlas import Atlas
from convscope.layouts.quality import purity, quality
from convscope.layouts.tsne import embed
from convscope.render.mosaic import PAPER, map_picture
from convscope.store.kept import all_kept, keep
from convscope.store.thumbnails import Thumbnails
from convscope.store.workspace import LATER
from convscope.studies import mapping
from convscope.studies.mapping import kept_map
from convscope.watch import Watch

SIDE = 24


def net(size: tuple[int, int] = (SIDE, SIDE)) -> convscope.Net:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip
    return convscope.Net(module, size=size, labels=["one", "two", "three"], name="tiny")


def pictures(folder: Path, count: int) -> Path:
    """Three kinds of pictures by their colour, each with noise."""
    generator = np.random.default_rng(0)
    for number in range(count):
        kind = ("one", "two", "three")[number % 3]
        picture = generator.integers(0, 90, (SIDE, SIDE, 3), np.uint8)
        picture[..., number % 3] += 120
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / kind / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("map")
    return convscope.build(pictures(folder / "images", 60), net(), folder / "atlas", codes=["1"])


def test_kinds_lie_together_and_the_numbers_say_so(atlas: Atlas) -> None:
    found = atlas.map()
    assert found.positions.shape == (60, 2)
    assert (found.layer, found.dimension, found.rectified) == (atlas.code_layer, 12, True)
    assert found.purity.map > 0.9
    assert found.purity.chance == pytest.approx(19 / 59)
    codes = np.asarray(atlas.codes(), np.float32)
    assert found.truth == quality(codes, found.positions)
    labels = atlas.images["label"].to_pylist()
    assert found.purity.codes == purity(codes, labels)[0]
    assert found.purity.pixels == purity(Thumbnails(atlas.store).vectors(), labels)[0]
    assert found.labels == tuple(labels)


def test_the_same_seed_gives_the_same_bytes_and_another_another(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    first = atlas.map(seed=3).positions.copy()
    monkeypatch.setattr(mapping, "find", lambda *_: None)
    assert atlas.map(seed=3).positions.tobytes() == first.tobytes()
    assert atlas.map(seed=4).positions.tobytes() != first.tobytes()


def test_it_is_computed_once(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    first = atlas.map(seed=5)

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(mapping, "embed", never)
    again = convscope.open_atlas(atlas.folder).map(seed=5)
    np.testing.assert_array_equal(first.positions, again.positions)
    assert again.truth == first.truth
    assert again.purity == first.purity
    assert again.divergence == pytest.approx(first.divergence)


class Stopping(Watch):
    def __init__(self) -> None:
        self.previews: list[Any] = []

    def preview(self, result: object) -> None:
        self.previews.append(result)

    def stopped(self) -> bool:
        return len(self.previews) > 1


def test_a_stopped_one_keeps_its_layout(atlas: Atlas) -> None:
    watch = Stopping()
    found = atlas.map(seed=6, watch=watch)
    assert not found.complete
    np.testing.assert_allclose(
        found.positions, watch.previews[-1].positions - watch.previews[-1].positions.mean(0), atol=1e-4
    )
    assert convscope.draw(found)[0].kind == "scatter"
    assert atlas.map(seed=6).complete  # it was not kept: this one ran to its end


def test_maps_can_begin_with_one_another(atlas: Atlas) -> None:
    first, other = atlas.map(), atlas.map("1", begin=atlas.code_layer)
    assert (other.begun, other.dimension) == (atlas.code_layer, 8)
    mirrored = first.positions * np.array([-1, 1], np.float32)
    codes = np.asarray(atlas.codes("1"), np.float32)
    for start in (first.positions, mirrored):
        laid = embed(codes, start=start).positions
        assert float((laid * start).sum(0).min()) > 0  # each axis points where it did
    np.testing.assert_array_equal(other.positions, embed(codes, start=first.positions).positions)


def test_principal_components(atlas: Atlas) -> None:
    found = atlas.map(method="pca")
    codes = np.asarray(atlas.codes(), np.float64)
    left, sizes, _ = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found.positions), np.abs(left[:, :2] * sizes[:2]), rtol=1e-3, atol=1e-4)
    with pytest.raises(convscope.BadOption, match="begin with nothing"):
        atlas.map(method="pca", begin="1")


def test_beyond_a_bound_a_sample_is_laid_out_and_the_others_placed(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "MOST", 40)
    monkeypatch.setattr(mapping, "FORMAT", 99)  # none of those that are kept
    found = atlas.map()
    assert (found.laid_out, len(found.positions)) == (40, 60)
    assert found.purity.map > 0.9
    assert "20 of them placed among 40" in convscope.draw(found)[0].caption


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_few_images(count: int, tmp_path: Path) -> None:
    found = convscope.build(pictures(tmp_path / "images", count), net(), tmp_path / "atlas").map()
    assert found.positions.shape == (count, 2)
    assert np.isfinite(found.positions).all()
    assert found.perplexity == pytest.approx((count - 1) / 3)  # what was used, not what was asked for
    assert ("too few for t-SNE" in convscope.draw(found)[0].caption) == (count < 5)


def test_codes_that_are_all_equal(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "kept_codes", lambda *_: np.ones((60, 12), np.float16))
    monkeypatch.setattr(mapping, "FORMAT", 98)
    found = atlas.map()
    assert np.isfinite(found.positions).all()
    assert np.isnan(found.truth.distances)
    assert convscope.draw(found)


def test_a_code_that_is_no_number_names_its_image(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.ones((60, 12), np.float16)
    codes[7, 3] = np.nan
    monkeypatch.setattr(mapping, "FORMAT", 97)  # none that is kept
    monkeypatch.setattr(mapping, "kept_codes", lambda *_: codes)
    with pytest.raises(convscope.UnreadableImage, match=r"the code of image 7 \(.*\.png\) is not finite"):
        atlas.map()


def test_layers_without_codes_are_named(atlas: Atlas) -> None:
    with pytest.raises(convscope.UnknownLayer, match="it keeps"):
        atlas.map("3")
    with pytest.raises(convscope.BadOption, match="perplexity"):
        atlas.map(perplexity=0)


def test_an_atlas_that_is_only_read_is_mapped_all_the_same(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class Hearing(Watch):
        def say(self, text: str) -> None:
            said.append(text)

    monkeypatch.setattr(mapping, "keep", lambda *_: "Read-only file system")
    assert atlas.map(seed=8, watch=Hearing()).complete
    assert said[-1] == "the map is not kept in the atlas: Read-only file system"


def test_pictures_and_numbers(atlas: Atlas, tmp_path: Path) -> None:
    found = atlas.map()
    points, images, table = convscope.draw(found)
    assert (points.kind, images.kind, table.kind) == ("scatter", "image", "table")
    assert "behind a rectifier" in points.caption
    assert points.numbers()["kinds"].count("two") == 20
    assert found.save(tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    with np.load(found.save(tmp_path / "map.npz")) as kept:
        assert kept["positions"].shape == (60, 2)
        assert kept["purity of codes"] == found.purity.codes


def test_what_is_damaged_is_computed_again(atlas: Atlas) -> None:
    first = atlas.map(seed=11)
    (folder,) = [path for record, path in all_kept(atlas.folder, mapping.LAYOUTS) if record["key"]["seed"] == 11]
    positions, record = (folder / "positions.npy").read_bytes(), (folder / "record.json").read_text()
    for name, content in (
        ("record.json", b"{}"), ("record.json", b"[]"), ("record.json", b"{"), ("positions.npy", b""),
        ("positions.npy", positions[:-8]),
    ):  # fmt: skip
        (folder / name).write_bytes(content)
        assert convscope.open_atlas(atlas.folder).map(seed=11).positions.tobytes() == first.positions.tobytes()
        assert (folder / "record.json").read_text() == record  # it is whole again


def test_an_atlas_with_maps_can_be_built_anew(tmp_path: Path) -> None:
    made = convscope.build(pictures(tmp_path / "images", 9), net(), tmp_path / "atlas")
    made.grid()
    made.add_codes(net(), "1")
    assert {path.name for path in made.folder.iterdir()} >= LATER
    (made.folder / ".thumbnails.abc.part").mkdir()  # of a process that was killed
    again = convscope.build(pictures(tmp_path / "more", 12), net(), tmp_path / "atlas", overwrite=True)
    assert again.code_layer == made.code_layer
    assert {path.name for path in again.folder.iterdir()}.isdisjoint(LATER)
    assert len(again.map().positions) == 12


def test_what_an_older_atlas_computes_is_not_of_the_new_one(tmp_path: Path) -> None:
    """It was opened, and then overwritten by an atlas of as many images, one of them another one."""
    old = convscope.build(pictures(tmp_path / "images", 9), net(), tmp_path / "atlas")
    changed = tmp_path / "images" / "one" / "003.png"
    Image.fromarray(255 - np.asarray(Image.open(changed))).save(changed)
    convscope.build(tmp_path / "images", net(), tmp_path / "atlas", overwrite=True)
    key = mapping.key_of(old.store, None, "tsne", 30.0, 0, None)
    record = {"divergence": None, "laid_out": 9, **mapping.NO_NUMBERS}
    keep(old.folder, mapping.LAYOUTS, key, record, {"positions": np.zeros((9, 2), np.float32)})
    assert kept_map(old.store) is not None
    assert kept_map(convscope.open_atlas(tmp_path / "atlas").store) is None


def test_a_stopped_one_needs_nothing_more(tmp_path: Path) -> None:
    made = convscope.build(pictures(tmp_path / "images", 30), net(), tmp_path / "atlas")
    found = made.map(watch=Stopping())
    assert not found.complete
    assert np.isnan(found.truth.recall)


@pytest.mark.parametrize("size", [(24, 24), (24, 36), (40, 24)])
def test_the_picture_shows_each_image_where_it_lies(size: tuple[int, int], tmp_path: Path) -> None:
    """Kinds have colours of their own here: the colour of each image's place is that of its kind."""
    made = convscope.build(pictures(tmp_path / "images", 21), net(size), tmp_path / "atlas")
    found = made.map()
    picture, shown = map_picture(found, 900)
    assert abs(picture.shape[0] - 900) < 120
    assert abs(picture.shape[1] - 900) < 120  # as wide as it is high, whatever the images are
    area = int((picture != PAPER).any(-1).sum()) / shown
    assert area == pytest.approx(107 * 107 * min(size) / max(size), rel=0.03)
    low, high = found.positions.min(0), found.positions.max(0)
    kinds = ("one", "two", "three")  # each has a channel
    right = []
    for label, (x, y) in zip(found.labels, (found.positions - low) / (high - low), strict=True):
        row, column = round(float(1 - y) * (picture.shape[0] - 1)), round(float(x) * (picture.shape[1] - 1))
        near = picture[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4]
        right.append(kinds[int(near.mean((0, 1)).argmax())] == label)
    assert np.mean(right) > 0.9
