"""Neighbours against brute force, the ways to name an image, pixels as the control, kinds of things on real photos."""

from pathlib import Path

import numpy as np
import pytest

import convscope
from convscope.atlas import Atlas
from convscope.store.thumbnails import Thumbnails
from tests.kinds import kinds_of_things, same_kind
from tests.studies.test_mapping import net, pictures


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("neighbours")
    return convscope.build(pictures(folder / "images", 40), net(), folder / "atlas", codes=["1"])


@pytest.mark.parametrize("layer", [None, "1"])
def test_they_are_the_nearest_of_all(atlas: Atlas, layer: str | None) -> None:
    codes = np.asarray(atlas.codes(layer), np.float64)
    pixels = Thumbnails(atlas.store).vectors().astype(np.float64)
    for row in (0, 17, 39):
        found = atlas.neighbours(row, 5, layer)
        for table, rows, away, scale in (
            (codes, found.rows, found.distances, 1.0),
            (pixels, found.pixel_rows, found.pixel_distances, pixels.shape[1] ** 0.5),
        ):
            distances = np.linalg.norm(table - table[row], axis=1)
            distances[row] = np.inf
            order = np.lexsort((np.arange(40), distances))[:5]
            np.testing.assert_array_equal(rows, order)
            np.testing.assert_allclose(away, distances[order] / scale, rtol=1e-5)


def test_an_image_is_named_by_row_id_or_the_end_of_its_path(atlas: Atlas) -> None:
    row = 11
    uri, name = str(atlas.images["uri"][row]), str(atlas.images["id"][row])
    for text in (row, str(row), name, uri, uri.rsplit("/", 1)[-1]):
        assert atlas.neighbours(text).image == row
    for text, words in (
        ("40", "numbered 0 to 39"),
        ("-1", "no image"),
        ("nowhere.png", "no image"),
        (".png", "40 images end"),
    ):
        with pytest.raises(convscope.BadAddress, match=words):
            atlas.neighbours(text)


def test_more_than_there_are(atlas: Atlas) -> None:
    assert len(atlas.neighbours(0, 100).rows) == 39


def test_equal_images_do_not_hide_themselves(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    same = np.ones((40, 12), np.float16)
    monkeypatch.setattr("convscope.studies.mapping.kept_codes", lambda *_: same)
    found = atlas.neighbours(30, 9)
    assert 30 not in found.rows
    assert len(set(found.rows.tolist())) == 9
    assert not found.distances.any()


def test_drawn_beside_the_control(atlas: Atlas) -> None:
    found = atlas.neighbours(3, 4)
    (panel,) = convscope.draw(found)
    assert panel.kind == "tiles"
    assert [row["control"] for row in panel.numbers()["rows"]] == [False, False, True]
    assert [len(row["tiles"]) for row in panel.numbers()["rows"]] == [1, 4, 4]
    assert found.lines()[1][1] == str(atlas.images["uri"][int(found.rows[0])])


def test_a_whole_file_name_comes_before_the_end_of_another(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "images", 4)
    for row, name in enumerate(("1.png", "11.png")):
        (folder / "one" / f"{row * 3:03d}.png").rename(folder / "one" / name)
    made = convscope.build(folder, net(), tmp_path / "atlas")
    assert made.neighbours("1.png").uri.endswith("/1.png")
    assert made.neighbours("11.png").uri.endswith("/11.png")


def test_the_same_kind_of_thing_is_near_by_code_and_not_by_pixels(lite0: convscope.Net, tmp_path: Path) -> None:
    """Only neighbours cut from another photo count: regions of the same one are alike in any way."""
    made = convscope.build(kinds_of_things(tmp_path / "kinds"), lite0, tmp_path / "atlas", layers=["conv_head"])
    assert len(made.images) == 2 * 27
    codes, pixels, chance = same_kind(made)
    assert chance < 0.1
    assert codes > 0.38, (codes, pixels)
    assert codes > 2.5 * pixels, (codes, pixels)
