"""A build with large JPEGs in a smaller size, and with all their pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscope
from tests.nets import small_classifier
from tests.photos import PHOTOS, jpeg, turned


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaled") / "photos"
    folder.mkdir()
    for number, name in enumerate(("china", "coffee", "chelsea")):
        jpeg(folder / f"{name}.jpg", PHOTOS[name][: 301 + number, : 401 + number], exif=turned((1, 6, 3)[number]))
    Image.fromarray(PHOTOS["rocket"]).save(folder / "rocket.png")
    return folder


def test_a_build_with_and_without(photos: Path, tmp_path: Path) -> None:
    net = convscope.Net(small_classifier(), size=(24, 24), name="tiny")
    fast, exact = (
        convscope.build(photos, net, tmp_path / str(full), codes=["2"], full_decode=full) for full in (False, True)
    )
    for column in ("id", "uri", "content", "height", "width", "top", "left", "row_scale", "column_scale"):
        assert fast.images[column].equals(exact.images[column]), column
    for row, uri in enumerate(exact.images["uri"].to_pylist()):
        prepared = net.prepare(uri)
        full, quick = (atlas.pixels(row).astype(np.float64) for atlas in (exact, fast))
        assert np.array_equal(full, (prepared.pixels[0] * 255).round().permute(1, 2, 0).numpy())
        assert (0 < np.abs(full - quick).mean() <= 2) == uri.endswith(".jpg")
        assert fast.images["height"][row].as_py() == prepared.original.shape[0]
    for patch in fast.exemplars("2:0"):  # cut from the original, where the receptive box lies on it
        prepared = net.prepare(patch.uri)
        assert patch.box == pytest.approx(net.receptive_box(f"2:0@{patch.place.row},{patch.place.column}", prepared))
        cut, box = patch.cut()
        top, left = round(patch.box.top - box.top), round(patch.box.left - box.left)
        rows, columns = cut.shape[:2]
        assert np.array_equal(cut, prepared.original[top : top + rows, left : left + columns])


def test_the_switch_is_part_of_the_works_key(photos: Path, tmp_path: Path) -> None:
    net = convscope.Net(small_classifier(), size=(24, 24), name="tiny")
    convscope.build(photos, net, tmp_path / "atlas")
    with pytest.raises(convscope.AtlasInUse, match="the options changed since"):
        convscope.build(photos, net, tmp_path / "atlas", full_decode=True)
    atlas = convscope.build(photos, net, tmp_path / "atlas", full_decode=True, overwrite=True)
    assert len(atlas.images) == 4


def test_the_switch_of_the_command_line(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from convscope.faces import cli

    net = convscope.Net(small_classifier(), size=(24, 24), name="tiny")
    monkeypatch.setattr(cli, "open_net", lambda *arguments: net)
    for arguments in ((), ("--full-decode",)):
        with pytest.raises(SystemExit) as done:
            cli.main(["build", str(photos), "--out", str(tmp_path / f"{len(arguments)}"), *arguments])
        assert not done.value.code
    keys = [convscope.open_atlas(tmp_path / name).store.manifest["key"]["the options"] for name in ("0", "1")]
    again = convscope.build(photos, net, tmp_path / "again", full_decode=True).store.manifest["key"]["the options"]
    assert keys[0] != keys[1] == again
