"""A new photo on a map: one that is in it lands beside itself, its neighbours, and other layers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscope
from convscope.atlas import Atlas
from tests.studies.test_mapping import net, pictures


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("placing")
    return convscope.build(pictures(folder / "images", 60), net(), folder / "atlas")


def test_an_image_of_the_map_lands_beside_itself(atlas: Atlas) -> None:
    positions = atlas.map().positions
    spread = np.linalg.norm(positions - positions.mean(0), axis=1).mean()
    for row in (0, 7, 31):
        found = atlas.place(net(), str(atlas.images["uri"][row]), k=3)
        assert found.rows[0] == found.pixel_rows[0] == row
        assert found.distances[0] < 0.02  # codes are kept in half precision
        assert found.pixel_distances[0] < 0.005
        near = np.argsort(np.linalg.norm(positions - found.position, axis=1))[:10]
        assert row in near
        assert np.linalg.norm(found.position - positions[row]) < 0.25 * spread


def test_the_map_stays_as_it_is_and_kinds_are_found(atlas: Atlas, tmp_path: Path) -> None:
    before = atlas.map().positions.copy()
    picture = np.random.default_rng(9).integers(0, 90, (24, 24, 3), np.uint8)
    picture[..., 1] += 120  # of the second kind
    Image.fromarray(picture).save(tmp_path / "new.png")
    found = atlas.place(net(), tmp_path / "new.png")
    labels = atlas.images["label"].to_pylist()
    assert [labels[row] for row in found.rows] == ["two"] * 9
    np.testing.assert_array_equal(found.map.positions, before)
    assert found.image == "new.png"


def test_codes_that_were_added(atlas: Atlas) -> None:
    atlas.add_codes(net(), "max(1)")
    found = atlas.place(net(), str(atlas.images["uri"][5]), layer="max(1)")
    assert found.rows[0] == 5
    assert found.map.layer == "max(1)"


def test_drawn_on_the_map_and_beside_the_control(atlas: Atlas) -> None:
    found = atlas.place(net(), str(atlas.images["uri"][5]))
    points, tiles = convscope.draw(found)
    assert (points.kind, tiles.kind) == ("scatter", "tiles")
    assert len(points.numbers()["x"]) == 61
    assert points.numbers()["kinds"].count("nearest by code") == 9


def test_mistakes_are_named(atlas: Atlas, tmp_path: Path) -> None:
    other = net().with_weights({name: value * 2 for name, value in net().weights.items()})
    with pytest.raises(convscope.BadOption, match="is not the network of this atlas"):
        atlas.place(other, tmp_path / "new.png")
    with pytest.raises(convscope.UnreadableImage):
        atlas.place(net(), tmp_path / "nowhere.png")
