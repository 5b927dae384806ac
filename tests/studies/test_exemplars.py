"""Exemplars: the patches of a unit, their boxes, their cut-outs and their picture."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import convscope
from convscope.arrays import Box
from convscope.studies.exemplars import surroundings

SIZE = (32, 32)


class Corner(torch.nn.Module):
    """Unit 0 fires where there is red, unit 1 where there is green: 3×3 windows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.bias.zero_()
            self.conv.weight[0, 0] = 1
            self.conv.weight[1, 1] = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x)).amax((2, 3))


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> convscope.Atlas:
    folder = tmp_path_factory.mktemp("data")
    (folder / "photos").mkdir()
    for number in range(5):
        image = np.zeros((64, 64, 3), np.uint8)
        image[32:48, 8 * number : 8 * number + 16, 0] = 50 * (number + 1)  # a red square, brighter from image to image
        Image.fromarray(image).save(folder / "photos" / f"{number}.png")
    return convscope.build(folder / "photos", convscope.Net(Corner(), size=SIZE, name="corner"), folder / "atlas")


def test_patches_show_what_the_unit_likes(atlas: convscope.Atlas) -> None:
    patches = atlas.exemplars("/relu#1:0")
    assert [patch.row for patch in patches] == [4, 3, 2, 1, 0]
    assert patches[0].value == pytest.approx(9 * 250 / 255, rel=1e-5)
    assert patches[0].place == (18, 18)  # the first 3×3 window wholly inside the square, in reading order
    assert patches[0].box == (34, 34, 40, 40)  # on the original, twice as large as the input
    assert patches[0].input_box == (17, 17, 20, 20)
    pixels, box = patches[0].cut()
    inside = pixels[round(box.top) : round(box.bottom), round(box.left) : round(box.right)]
    assert (inside[..., 0] == 250).all()
    assert len(patches[:2]) == 2
    assert len(atlas.exemplars("/relu#1:0", k=2)) == 2


def test_the_numbers_and_the_picture_can_be_saved(atlas: convscope.Atlas, tmp_path: Path) -> None:
    patches = atlas.exemplars("/relu#1:0")
    with np.load(patches.save(tmp_path / "a.npz")) as saved:
        assert saved["rows"].tolist() == [4, 3, 2, 1, 0]
        assert saved["boxes"].shape == (5, 4)
        assert str(saved["address"]) == "/relu#1:0"
    picture = Image.open(io.BytesIO(patches.save(tmp_path / "a.png").read_bytes()))
    assert (
        np.asarray(picture.convert("RGB"))[..., 0].astype(int) - np.asarray(picture.convert("RGB"))[..., 1] > 200
    ).any()
    page = patches.save(tmp_path / "a.html").read_text()
    assert "data:image" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert patches._repr_png_()[:4] == b"\x89PNG"
    with pytest.raises(convscope.BadOption, match="cannot save as"):
        patches.save(tmp_path / "a.gif")
    panel = convscope.draw(patches)[0]
    assert panel.kind == "tiles"
    assert "5 images" in panel.caption
    numbers = json.loads(json.dumps(panel.numbers(), allow_nan=False))
    assert numbers["rows"][0]["tiles"][0]["value"] == pytest.approx(9 * 250 / 255, rel=1e-5)


@pytest.mark.parametrize(
    ("address", "options", "error", "words"),
    [
        ("/relu#1:7", {}, "BadAddress", "has 2 units"),
        ("/relu#1", {}, "BadAddress", "names no unit"),
        ("conv:0", {}, "BadAddress", "the build did not follow conv"),
        ("cnov:0", {}, "UnknownLayer", "no layer 'cnov'"),
        ("class:red", {}, "BadAddress", "no class 'red'"),
        ("/relu#1:0", {"k": 0}, "BadOption", "exemplars: k is 0"),
    ],
)
def test_wrong_addresses_and_options_are_refused_in_words(
    atlas: convscope.Atlas, address: str, options: dict[str, int], error: str, words: str
) -> None:
    with pytest.raises(getattr(convscope, error)) as caught:
        atlas.exemplars(address, **options)
    assert words in str(caught.value)


def test_a_misspelt_option_is_named(atlas: convscope.Atlas) -> None:
    from convscope.studies.exemplars import exemplars

    with pytest.raises(convscope.BadOption) as caught:
        exemplars(atlas.store, "/relu#1:0", kk=3)
    assert str(caught.value) == "exemplars has no option 'kk'\n\nhint: did you mean 'k'?"


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(*[st.floats(0, 1)] * 4),
)
def test_surroundings_hold_the_box_and_stay_inside(shape: tuple[int, int], edges: tuple[float, ...]) -> None:
    height, width = shape
    rows, columns = sorted(e * height for e in edges[:2]), sorted(e * width for e in edges[2:])
    picture = np.arange(height * width * 3, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)
    cut, box = surroundings(picture, Box(rows[0], columns[0], rows[1], columns[1]))
    assert cut.size > 0
    assert -1 <= box.top <= box.bottom <= cut.shape[0] + 1
    assert -1 <= box.left <= box.right <= cut.shape[1] + 1
    assert box.height == pytest.approx(rows[1] - rows[0])


def test_the_middle_lies_around_the_median_of_those_that_fire(atlas: convscope.Atlas) -> None:
    patches = atlas.exemplars("/relu#1:0")
    assert [patch.row for patch in patches.middle] == [3, 2, 1]
    assert patches.middle[1].value == pytest.approx(9 * 150 / 255, rel=1e-5)
    assert patches.middle_sample >= 5
    assert atlas.exemplars("/relu#1:1").middle == ()  # nothing is green


def test_directions_are_the_control_and_look_like_one(atlas: convscope.Atlas) -> None:
    patches = atlas.exemplars("/relu#1:0", directions=3)
    vectors = atlas.store.array("directions/vectors")[:, :2]  # of this layer
    values = np.array([[9 * 50 * (row + 1) / 255, 0] for row in range(5)])
    for one in patches.directions:
        along = values @ vectors[one.number]
        along = np.maximum(along, 0) if along.max() > 0 else np.zeros(5)  # where nothing is red, the direction has 0
        assert [patch.value for patch in one.patches] == pytest.approx(sorted(along, reverse=True), rel=1e-5, abs=1e-6)
    (panel,) = convscope.draw(patches)
    rows = panel.numbers()["rows"]
    assert [row["control"] for row in rows] == [False, False, True, True, True]
    assert "The control (Szegedy et al. 2014)" in panel.caption
    assert len(convscope.draw(atlas.exemplars("/relu#1:0", directions=0))[0].numbers()["rows"]) == 2
    saved = patches.arrays()
    assert saved["direction_rows"].shape == (3, 5)
    assert saved["middle_rows"].tolist() == [3, 2, 1]


def test_what_excites_a_unit_are_the_predicted_classes(atlas: convscope.Atlas) -> None:
    (only,) = atlas.exemplars("/relu#1:0").classes
    assert (only.name, only.images) == ("class 0", 5)
    assert only.mean == pytest.approx(9 * 150 / 255, rel=1e-5)
    assert atlas.exemplars("/relu#1:1").classes == ()
