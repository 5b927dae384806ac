"""From a folder to an atlas with a real (small) network: whole, resumable, movable, and right."""

import csv
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import convscope
from tests.nets import Planted, small_classifier

SIZE = (24, 24)


@pytest.fixture(scope="module")
def net() -> convscope.Net:
    return convscope.Net(small_classifier(), size=SIZE, labels=["cat", "dog", "rocket", "coffee"], name="tiny")


def picture(seed: int, height: int = 30, width: int = 40) -> Image.Image:
    """A smooth seeded picture, so that units differ in what they like."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 pictures (three shards) in two class folders, two of them the same, and three files that are no images."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    for label in ("cat", "3", "unknown"):
        (folder / label).mkdir(parents=True)
    for number in range(147):
        label = ("cat", "3", "unknown")[number % 3]
        picture(number, 24 + number % 20, 24 + number % 31).save(folder / label / f"{number:03d}.png")
    for label in ("cat", "unknown"):
        shutil.copy(folder / "3" / "001.png", folder / label / f"copy-{label}.png")
    (folder / "cat" / "notes.txt").write_text("no picture")
    (folder / "cat" / "cut.png").write_bytes((folder / "cat" / "000.png").read_bytes()[:200])
    (folder / "lost.jpg").symlink_to("nowhere.jpg")
    return folder


@pytest.fixture(scope="module")
def atlas(photos: Path, net: convscope.Net, tmp_path_factory: pytest.TempPathFactory) -> convscope.Atlas:
    return convscope.build(photos, net, tmp_path_factory.mktemp("out") / "atlas")


def bytes_of(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_file_has_a_row_or_a_reason(atlas: convscope.Atlas) -> None:
    assert len(atlas.images) == 149
    reasons = {Path(row["uri"]).name: row["reason"] for row in atlas.skipped.to_pylist()}
    assert set(reasons) == {"notes.txt", "cut.png", "lost.jpg"}
    assert all(reasons.values())
    assert len(set(atlas.images["id"].to_pylist())) == 149


def test_predictions_equal_the_net(atlas: convscope.Atlas, net: convscope.Net) -> None:
    for row in (0, 70, 148):
        image = atlas.images.slice(row, 1).to_pylist()[0]
        prepared = net.prepare(image["uri"])
        assert np.array_equal(atlas.pixels(row), (prepared.pixels[0] * 255).round().byte().permute(1, 2, 0).numpy())
        probabilities = net.probabilities(prepared.pixels)[0]
        assert image["predicted"] == net.class_name(int(probabilities.argmax()))
        assert image["probability"] == pytest.approx(float(probabilities.max()), rel=1e-5)
        expected = {"cat": 0, "3": 3, "unknown": None}[image["label"]]
        assert image["label_class"] == expected
        assert image["correct"] == (None if expected is None else int(probabilities.argmax()) == expected)
        if expected is not None:
            assert image["label_probability"] == pytest.approx(float(probabilities[expected]), rel=1e-5)


def test_strongest_patches_equal_a_plain_sort_over_stored_activations(
    atlas: convscope.Atlas, net: convscope.Net
) -> None:
    assert atlas.layers == ("2", "5", "9")
    pixels = torch.cat([net.prepare(uri).pixels for uri in atlas.images["uri"].to_pylist()])
    contents = atlas.images["content"].to_pylist()
    first = [row for row, content in enumerate(contents) if content not in contents[:row]]
    assert len(first) == 147
    for layer, values in net.outputs(pixels, list(atlas.layers)).items():
        maps = values if values.ndim == 4 else values[:, :, None, None]
        for unit in range(maps.shape[1]):
            peaks = maps[first, unit].flatten(1).max(1).values
            order = sorted(range(len(first)), key=lambda i: (-float(peaks[i]), first[i]))[:9]
            patches = atlas.exemplars(f"{layer}:{unit}")
            assert [patch.value for patch in patches] == pytest.approx(
                [float(peaks[i]) for i in order], rel=1e-5, abs=1e-6
            )
            for patch, i in zip(patches, order, strict=True):
                found = maps[patch.row, unit]
                assert float(found[patch.place]) == pytest.approx(float(found.max()), rel=1e-5, abs=1e-6)
                if float(peaks[i]) > float(peaks[order[-1]]) * (1 + 1e-4):
                    assert contents[patch.row] in {contents[first[j]] for j in order}


def test_boxes_are_the_nets_on_the_original(atlas: convscope.Atlas, net: convscope.Net) -> None:
    for address in ("2:1", "5:4", "class:rocket"):
        layer = Path(address.split(":")[0]).name
        for patch in atlas.exemplars(address, k=4):
            prepared = net.prepare(atlas.images["uri"][patch.row].as_py())
            text = f"{'9' if layer == 'class' else layer}:0@{patch.place.row},{patch.place.column}"
            assert patch.box == pytest.approx(net.receptive_box(text, prepared))


def test_pixels_are_stored_once_per_content(atlas: convscope.Atlas) -> None:
    table = atlas.images.select(["content", "pack", "offset", "length"]).to_pylist()
    places: dict[str, set[tuple[int, int, int]]] = {}
    for row in table:
        places.setdefault(row["content"], set()).add((row["pack"], row["offset"], row["length"]))
    assert all(len(found) == 1 for found in places.values())
    sizes = sum(path.stat().st_size for path in (atlas.folder / "packs").iterdir())
    assert sizes == sum(next(iter(found))[2] for found in places.values())


def test_a_moved_atlas_without_originals_shows_everything(atlas: convscope.Atlas, photos: Path, tmp_path: Path) -> None:
    here = tmp_path / "elsewhere"
    shutil.copytree(atlas.folder, here)
    hidden = photos.with_name("hidden")
    before = atlas.exemplars("5:2").save(tmp_path / "with.png").read_bytes()
    photos.rename(hidden)
    try:
        moved = convscope.open_atlas(here)
        for row in range(len(moved.images)):
            assert moved.pixels(row).shape == (*SIZE, 3)
        for layer in moved.layers:
            patches = moved.exemplars(f"{layer}:0")
            assert len(patches) == 9
            assert all(min(patch.cut()[0].shape[:2]) > 0 for patch in patches)
        after = moved.exemplars("5:2").save(tmp_path / "without.png").read_bytes()
    finally:
        hidden.rename(photos)
    assert after[:8] == before[:8] == b"\x89PNG\r\n\x1a\n"
    assert after != before  # with the originals at hand, patches are cut from them


def test_patches_come_from_the_originals_only_while_they_are_unchanged(net: convscope.Net, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    picture(1, 200, 240).save(folder / "a.png")
    atlas = convscope.build(folder, net, tmp_path / "atlas")
    patch = atlas.exemplars("9:0")[0]
    assert patch.cut()[0].shape[0] > SIZE[0]
    picture(2, 200, 240).save(folder / "a.png")
    assert patch.cut()[0].shape[:2] == SIZE


def test_the_same_work_gives_the_same_bytes(
    atlas: convscope.Atlas, photos: Path, net: convscope.Net, tmp_path: Path
) -> None:
    again = convscope.build(photos, net, tmp_path / "again")
    assert bytes_of(again.folder) == bytes_of(atlas.folder)


def test_another_batch_size_changes_next_to_nothing(
    atlas: convscope.Atlas, photos: Path, net: convscope.Net, tmp_path: Path
) -> None:
    other = convscope.build(photos, net, tmp_path / "other", batch_size=5)
    ours, theirs = (np.array(a.store.array("strongest/values")) for a in (atlas, other))
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-7)


class StopAfter(convscope.Watch):
    """Stops like Ctrl-C after some shards."""

    def __init__(self, shards: int) -> None:
        self.left = shards
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: int, total: int, unit: str) -> None:
        self.left -= 1

    def stopped(self) -> bool:
        return self.left <= 0


def test_a_stopped_build_says_how_to_go_on_and_gives_the_same_bytes(
    atlas: convscope.Atlas, photos: Path, net: convscope.Net, tmp_path: Path
) -> None:
    out = tmp_path / "atlas"
    with pytest.raises(convscope.BuildStopped) as caught:
        convscope.build(photos, net, out, watch=StopAfter(1))
    assert "stopped after 64 of 151 images" in caught.value.problem
    assert "same command goes on" in caught.value.hint
    with pytest.raises(convscope.BadAtlas, match="unfinished atlas"):
        convscope.open_atlas(out)
    watch = StopAfter(99)
    done = convscope.build(photos, net, out, watch=watch)
    assert any("going on: 64 of 151" in text for text in watch.said)
    assert any("images to read: about" in text and "MB on the disk" in text for text in watch.said)
    assert bytes_of(done.folder) == bytes_of(atlas.folder)


@pytest.mark.heavy  # tests/passes/test_never_lost.py kills at more moments
def test_a_killed_build_goes_on_and_gives_the_same_bytes(atlas: convscope.Atlas, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "atlas"
    code = (
        "import sys, convscope; from tests.nets import small_classifier\n"
        "net = convscope.Net(small_classifier(), size=(24, 24), labels=['cat', 'dog', 'rocket', 'coffee'], name='tiny')\n"
        "convscope.build(sys.argv[1], net, sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(photos), str(out)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root)
    shards = out / "unfinished" / "shards"
    while process.poll() is None and not (shards / "000000").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, cwd=root, check=True)
    assert bytes_of(out) == bytes_of(atlas.folder)


def test_a_finished_build_is_not_done_again(photos: Path, net: convscope.Net, tmp_path: Path) -> None:
    out = tmp_path / "atlas"
    first = convscope.build(photos, net, out, limit=10)
    stamp = (out / "manifest.json").stat().st_mtime_ns
    watch = StopAfter(99)
    convscope.build(photos, net, out, limit=10, watch=watch)
    assert (out / "manifest.json").stat().st_mtime_ns == stamp
    assert any("already finished" in text for text in watch.said)
    assert len(first.images) + len(first.skipped) == 11  # the dangling link was never a file to sample


@pytest.mark.parametrize("change", ["net", "options", "images"])
def test_other_work_never_mixes_with_what_is_there(change: str, net: convscope.Net, tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "atlas"
    folder.mkdir()
    for number in range(3):
        picture(number).save(folder / f"{number}.png")
    convscope.build(folder, net, out)
    before = bytes_of(out)
    options: dict[str, object] = {}
    if change == "net":
        state = {name: value.clone() for name, value in net._module.state_dict().items()}
        state["9.bias"] += 1
        net = net.with_weights(state)
    elif change == "options":
        options["k"] = 4
    else:
        picture(9).save(folder / "9.png")
    words = {"net": "the network", "options": "the options", "images": "the images"}[change]
    with pytest.raises(convscope.AtlasInUse, match=f"{words} changed since"):
        convscope.build(folder, net, out, **options)
    assert bytes_of(out) == before
    assert len(convscope.build(folder, net, out, overwrite=True, **options).images) == (4 if change == "images" else 3)


def test_a_folder_with_other_things_is_never_touched(net: convscope.Net, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(convscope.AtlasInUse):
            convscope.build(photos, net, tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_one_image_and_a_table_of_labels(net: convscope.Net, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "label"], [photos / "cat" / "000.png", "dog"], ["gone.png", "dog"]])
    atlas = convscope.build(table, net, tmp_path / "atlas", k=3)
    assert atlas.images["label"].to_pylist() == ["dog"]
    assert [Path(uri).name for uri in atlas.skipped["uri"].to_pylist()] == ["gone.png"]
    assert len(atlas.exemplars("2:0")) == 1


def test_no_readable_image_is_an_error_with_the_reason(net: convscope.Net, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_text("hello")
    with pytest.raises(convscope.NoImages) as caught:
        convscope.build(folder, net, tmp_path / "atlas")
    assert "a.jpg" in caught.value.hint


def test_a_network_without_rectifiers_is_followed_at_its_activations(tmp_path: Path) -> None:
    torch.manual_seed(0)
    nn = torch.nn
    smooth = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.SiLU(),
        nn.Conv2d(4, 4, 3),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    linear = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert convscope.Net(smooth, size=SIZE).watched_layers == ("1", "3", "6")
    assert convscope.Net(linear, size=SIZE).watched_layers == ("0", "3")


def test_a_dead_unit_has_nothing_above_zero(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    red, green = Image.new("RGB", SIZE, (255, 0, 0)), Image.new("RGB", SIZE, (0, 255, 0))
    red.save(folder / "red.png")
    green.save(folder / "green.png")
    atlas = convscope.build(folder, convscope.Net(Planted(), size=SIZE), tmp_path / "atlas")
    names = [Path(atlas.images["uri"][atlas.exemplars(f"/relu#1:{unit}")[0].row].as_py()).stem for unit in (0, 1)]
    assert names == ["red", "green"]
    assert [patch.value for patch in atlas.exemplars("/relu#1:2")] == [0.0, 0.0]


def test_the_network_is_untouched_by_a_build(photos: Path, tmp_path: Path) -> None:
    from tests.models.test_outputs import assert_same, state_of

    module = small_classifier().train()
    before = state_of(module)
    convscope.build(photos, convscope.Net(module, size=SIZE), tmp_path / "atlas", limit=5)
    assert_same(before, state_of(module))


def test_an_atlas_holds_no_machine_names_or_times(atlas: convscope.Atlas) -> None:
    manifest = (atlas.folder / "manifest.json").read_text()
    assert os.uname().nodename not in manifest
    assert "unfinished" not in {path.name for path in atlas.folder.iterdir()}


def test_broken_atlases_are_refused_in_words(atlas: convscope.Atlas, tmp_path: Path) -> None:
    with pytest.raises(convscope.BadAtlas, match="is no atlas"):
        convscope.open_atlas(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(atlas.folder, copy)
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text.replace('"format": 3', '"format": 99'))
    with pytest.raises(convscope.BadAtlas, match="atlas format 99, this Convscope reads 3"):
        convscope.open_atlas(copy)
    (copy / "manifest.json").write_text(text)
    (copy / "packs" / "000000").write_bytes(b"")
    with pytest.raises(convscope.BadAtlas, match="cut off"):
        convscope.open_atlas(copy).pixels(0)


class Capped(torch.nn.Module):
    """Unit 0 is ReLU6 of 60 × red: every reddish image reaches the ceiling."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.relu6(60 * x[:, :1] - 6).amax((2, 3))


def test_images_at_the_ceiling_are_told_apart_by_what_the_rectifier_was_given(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, red in enumerate((10, 100, 250, 180, 240)):  # in the order of the listing
        image = np.zeros((*SIZE, 3), np.uint8)
        image[3, 5, 0], image[10, 20, 0] = red - 10, red
        Image.fromarray(image).save(folder / f"{number}.png")
    net = convscope.Net(Capped(), size=SIZE)
    assert net.ceiling("/relu6#1") == ("/sub#1", 6.0)
    patches = convscope.build(folder, net, tmp_path / "atlas").exemplars("/relu6#1:0")
    assert [patch.row for patch in patches] == [2, 4, 3, 1, 0]
    assert [patch.value for patch in patches] == [6, 6, 6, 6, 0]
    assert patches[0].place == (10, 20)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.heavy) for name in ("alexnet", "vgg11", "mobilenet_v3_small")]
    + ["squeezenet1_1"],
)
def test_real_architectures_build(name: str, photos: Path, tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(0)
    net = convscope.Net(getattr(torchvision.models, name)(), size=(64, 64), name=name)
    atlas = convscope.build(photos, net, tmp_path / "atlas", limit=6)
    assert len(atlas.exemplars(f"{atlas.layers[0]}:0")) >= 5


def test_an_atlas_inside_the_images_is_none_of_them(
    net: convscope.Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(70):
        picture(number).save(tmp_path / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(convscope.BuildStopped):
        convscope.build(".", net, watch=StopAfter(1))
    assert len(convscope.build(".", net).images) == 70
    watch = StopAfter(99)
    convscope.build(".", net, watch=watch)
    assert any("already finished" in text for text in watch.said)
    second = convscope.build(".", net, out="second", k=3)  # nor is an earlier one
    assert (len(second.images), len(second.skipped)) == (70, 0)


def test_overwriting_removes_the_atlas_and_nothing_else(net: convscope.Net, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "atlas"
    convscope.build(photos, net, out, limit=3)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(convscope.AtlasInUse, match=r"other things: thesis\.txt"):
        convscope.build(photos, net, out, limit=4, overwrite=True)
    (out / "thesis.txt").unlink()
    assert len(convscope.build(photos, net, out, limit=4, overwrite=True).images) > 0


def test_a_finish_that_was_killed_at_the_end_is_tidied(net: convscope.Net, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "atlas"
    convscope.build(photos, net, out, limit=3)
    (out / "unfinished" / "shards").mkdir(parents=True)
    convscope.build(photos, net, out, limit=3)
    assert not (out / "unfinished").exists()


WRONG = {
    "a module for a net": lambda photos, net, out: convscope.build(photos, net._module, out),
    "text for layers": lambda photos, net, out: convscope.build(photos, net, out, layers="2"),
    "text for limit": lambda photos, net, out: convscope.build(photos, net, out, limit="3"),
    "half a batch": lambda photos, net, out: convscope.build(photos, net, out, batch_size=1.5),
    "an engine": lambda photos, net, out: convscope.build(photos, net, out, engine="spark"),
    "a layer": lambda photos, net, out: convscope.build(photos, net, out, layers=["relu9"]),
    "a device": lambda photos, net, out: convscope.load("efficientnet-lite0", device="gpu"),
    "a size": lambda photos, net, out: convscope.load("tests.nets:small_classifier", size=224),
    "a std": lambda photos, net, out: convscope.load("tests.nets:small_classifier", std=(0, 0, 0)),
    "no image": lambda photos, net, out: net.prepare(None),
    "no module": lambda photos, net, out: convscope.Net("resnet"),
    "a refresh of a sibling": lambda photos, net, out: net.with_weights(net._module.state_dict()).refresh(),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wrong_arguments_are_refused_in_words(case: str, photos: Path, net: convscope.Net, tmp_path: Path) -> None:
    with pytest.raises(convscope.ConvscopeError) as caught:
        unchecked(WRONG[case], photos, net, tmp_path / "atlas")
    assert caught.value.problem


def unchecked(function: object, *arguments: object) -> None:
    """Calls it; a type that the tests' own checker refuses first is as good as refused."""
    from jaxtyping import TypeCheckError

    try:
        function(*arguments)  # type: ignore[operator]
    except TypeCheckError as error:
        raise convscope.ConvscopeError(str(error)) from error


class Photos(torch.utils.data.Dataset):
    """Three pictures with labels, the second of them broken in the way of torchvision.io."""

    classes = ("cat", "dog")

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        if index == 1:
            raise RuntimeError("Input is not a valid JPEG")
        return picture(index), index % 2


def test_a_dataset_with_a_broken_item_is_built_without_it(net: convscope.Net, tmp_path: Path) -> None:
    atlas = convscope.build(Photos(), net, tmp_path / "atlas")
    assert atlas.images["uri"].to_pylist() == ["dataset[0]", "dataset[2]"]
    assert atlas.images["label"].to_pylist() == ["cat", "cat"]
    assert atlas.skipped["uri"].to_pylist() == ["dataset[1]"]
    assert atlas.skipped["reason"][0].as_py()


def test_no_layers_and_no_directions_are_fine(photos: Path, net: convscope.Net, tmp_path: Path) -> None:
    """Then an atlas has predictions and codes alone, or units without their control."""
    found = convscope.build(photos, net, tmp_path / "none", layers=[], limit=12)
    assert found.layers == ()
    assert found.images["probability"].null_count == 0
    units = convscope.build(photos, net, tmp_path / "units", directions=0, limit=12)
    assert units.exemplars(f"{units.layers[0]}:0").directions == ()


class ReadAside(torch.nn.Module):
    """Scores that a rectifier reads too: a build may let it overwrite them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.head(x.mean((2, 3))) - 1
        torch.relu(scores)
        return scores


def test_scores_are_kept_before_anything_overwrites_them(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = convscope.Net(ReadAside().double(), size=(16, 16))
    atlas = convscope.build(photos, net, tmp_path / "atlas", limit=6)
    for row in range(len(atlas.images)):
        probabilities = net.probabilities(net.prepare(Path(atlas.images["uri"][row].as_py())).pixels)
        assert atlas.images["probability"][row].as_py() == pytest.approx(float(probabilities.max()), abs=1e-3)
