"""The drawing of occlusion maps: scales, places, words and numbers, also of stopped runs and of maps that do not change."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import convscope
from convscope.render.figure import compose, page
from convscope.render.occlusion import HUES, ClassTiles, HeatMaps, occlusion_panels
from convscope.render.panels import Overlay, Tiles
from convscope.render.pixels import colour
from convscope.render.scales import colours_of, rescaled
from convscope.techniques.occlusion import OcclusionMap, occlusion
from convscope.watch import Watch
from tests.nets import Quarter, small_classifier

SIZE = (32, 40)
IMAGE = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(1))


class Once(Watch):
    """Stops after the first batch."""

    def stopped(self) -> bool:
        return True


@pytest.fixture(scope="module")
def net() -> convscope.Net:
    return convscope.Net(small_classifier(2), size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture(scope="module")
def result(net: convscope.Net) -> OcclusionMap:
    return occlusion(net, IMAGE, window=8, stride=4)


@pytest.fixture(scope="module")
def stopped(result: OcclusionMap) -> OcclusionMap:
    """As a stopped run leaves it: a third of the positions, here by hand."""
    gone = torch.arange(result.label.numel()).view(result.label.shape) % 3 > 0
    maps = {name: getattr(result, name).where(~gone, torch.nan) for name in ("probability", "score", "log_odds")}
    responses = {address: values.where(~gone, torch.nan) for address, values in result.responses.items()}
    return replace(result, label=result.label.where(~gone, -1), responses=responses, **maps)


def overlays(result: OcclusionMap) -> list[Overlay]:
    return [panel for panel in occlusion_panels(result) if isinstance(panel, Overlay)]


def test_one_target(result: OcclusionMap) -> None:
    panels = occlusion_panels(result)
    assert [panel.kind for panel in panels] == ["image", "heat map", "tiles", "tiles"]
    image, maps, classes, falls = panels
    assert isinstance(image, Overlay)
    assert image.heat is not None
    assert image.signed
    np.testing.assert_allclose(image.heat, float(result.unoccluded) - result.probability.numpy(), atol=1e-7)
    assert "square of 8×8 px" in image.caption
    assert "filled with black" in image.caption
    assert "63 positions, 4 px apart, wholly inside" in image.caption
    assert "class 0" in image.caption
    assert all("not computed" not in panel.caption for panel in panels)
    assert isinstance(maps, HeatMaps)
    assert [maps.head, *(one.title for one in maps.beside)] == ["probability", "score", "log-odds", "unit 3 of 5"]
    np.testing.assert_allclose(maps.values, result.probability)
    np.testing.assert_allclose(
        maps.beside[2].values, result.unoccluded_responses["5:3"] - result.responses["5:3"].double()
    )
    assert isinstance(classes, ClassTiles)
    assert isinstance(falls, Tiles)
    assert [len(row.tiles) for row in falls.rows] == [5, 5]
    row, column = result.falls()[0]
    assert falls.rows[0].tiles[0].box == result.box(row, column) == image.boxes[0][0]


def test_numbers(result: OcclusionMap, stopped: OcclusionMap) -> None:
    for one in (result, stopped):
        image, maps, classes, _ = (
            json.loads(json.dumps(panel.numbers(), allow_nan=False)) for panel in occlusion_panels(one)
        )
        assert image["positions"] == {
            "tops": result.tops.tolist(), "lefts": result.lefts.tolist(), "height": 8, "width": 8,
        }  # fmt: skip
        assert image["side"] == overlays(one)[0].side
        assert [each["title"] for each in maps["beside"]] == ["score", "log-odds", "unit 3 of 5"]
        assert len(maps["unoccluded"]) == 4
        expected = [[None if each < 0 else each for each in row] for row in one.label.tolist()]
        assert classes["class_index"] == expected
        assert classes["class_name"][0][0] == ("class 0" if expected[0][0] is not None else None)
    assert "positions" not in Overlay("", np.zeros((4, 4, 3), np.uint8), "").numbers()


def test_cells_lie_at_the_middles(net: convscope.Net, result: OcclusionMap) -> None:
    assert overlays(result)[0].heat_box == (2, 2, 30, 38)  # middles from 4 to 28 and from 4 to 36, half a stride about
    uneven = occlusion(net, IMAGE, window="6x10", stride=5)
    image = overlays(uneven)[0]
    assert image.heat_box == (0.5, 2.5, 30.5, 37.5)
    assert image.heat is not None
    assert image.heat.shape == (6, 7)
    assert "rectangle of 6×10 px" in image.caption
    cut = occlusion(net, IMAGE, window=8, stride=14, border="cut", fill="noise")
    assert cut.tops.tolist() == [0, 14, 28]
    assert overlays(cut)[0].heat_box is not None
    assert overlays(cut)[0].heat_box[2] == 28 + 4 + 7  # beyond the image: the last window is cut off, its cell is not
    assert "cut off" in overlays(cut)[0].caption
    assert "random colours" in overlays(cut)[0].caption
    compose(occlusion_panels(cut), "")


def test_the_picture_shows_the_cells_there(result: OcclusionMap) -> None:
    """The heat ends exactly half a stride beyond the middles: there the grey image begins."""
    image = replace(overlays(result)[0], boxes=(), side=40.0)  # one CSS px for each px of the input
    pixels = np.asarray(image.picture(1.0)).astype(int)[:32, :40]
    coloured = np.ptp(pixels, axis=2) > 0
    rows, columns = np.nonzero(coloured)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (2, 30, 2, 38)


def test_several_targets_share_scales(net: convscope.Net) -> None:
    result = occlusion(net, IMAGE, [0, 1], window=8, stride=8, fill="mean")
    panels = occlusion_panels(result)
    assert [panel.kind for panel in panels] == ["image"] * 2 + ["heat map"] * 4 + ["tiles"] * 2
    first, second = overlays(result)
    assert first.limits == second.limits
    assert first.limits is not None
    assert first.limits[1] == pytest.approx(float((result.unoccluded[:, None, None] - result.probability).abs().max()))
    np.testing.assert_allclose(first.heat, -np.asarray(second.heat), atol=1e-6)  # of two classes
    for panel in panels[2:5]:
        assert isinstance(panel, HeatMaps)
        assert [panel.head, panel.beside[0].title] == ["class 0", "class 1"]
        assert panel.limits == panel.beside[0].limits
    assert "the network's mean colour" in first.caption
    assert "same scale" in second.caption
    shared, apart = (one.picture(1.0).width for one in (panels[2], replace(panels[2], limits=(0, 9))))
    assert shared < apart  # one colour bar for both maps


def test_more_targets_than_are_drawn() -> None:
    net = convscope.Net(small_classifier(8), size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))
    result = occlusion(net, IMAGE, list(range(8)), window=16, stride=16)
    assert len(overlays(result)) == 6
    assert "2 more targets are not drawn" in overlays(result)[0].caption


def test_stopped_runs(net: convscope.Net, stopped: OcclusionMap) -> None:
    for panel in occlusion_panels(stopped):
        assert "not computed: 42 of 63 positions" in panel.caption
    nothing = replace(stopped, label=torch.full_like(stopped.label, -1), probability=torch.full((7, 9), torch.nan))
    panels = occlusion_panels(nothing)
    assert "not computed: 63 of 63 positions" in panels[0].caption
    assert overlays(nothing)[0].boxes == ()
    compose(panels, "")
    early = occlusion(net, IMAGE, window=2, stride=1, memory=1e-3, watch=Once())
    assert 0 < early.done < early.label.numel()
    compose(occlusion_panels(early), "")


def test_a_map_that_does_not_change() -> None:
    module = small_classifier(2)
    with torch.no_grad():
        module[-1].bias[0] += 1000
    net = convscope.Net(module, size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))
    result = occlusion(net, IMAGE, window=8, stride=4)
    assert bool((result.probability == 1).all())
    image = overlays(result)[0]
    assert image.limits == (-1e-3, 1e-3)
    assert image.boxes == ()
    assert "nowhere does it fall" in image.caption
    wobbling = replace(result, probability=result.probability - 6e-8 * torch.rand(7, 9))  # as float32 rounds
    drawn = overlays(wobbling)[0]
    assert drawn.heat is not None
    assert drawn.boxes == ()
    assert (colour(drawn.heat, True, drawn.limits) == 128).all()
    compose(occlusion_panels(result), "")


def test_a_single_position(net: convscope.Net) -> None:
    result = occlusion(net, IMAGE, window=SIZE, stride=8)
    image, maps, classes, falls = occlusion_panels(result)
    assert isinstance(image, Overlay)
    assert image.heat_box == (0, 0, 32, 40)
    assert "1 position, wholly inside" in image.caption
    picture = maps.picture(1.0)
    assert picture.height > 2 * 112  # rows stand as far apart as their colour bars are tall
    compose((image, maps, classes, falls), "")


def test_classes_have_their_hues(result: OcclusionMap) -> None:
    label = torch.zeros(7, 9, dtype=torch.int64)
    label[0, 0], label[3] = -1, 1
    two = next(panel for panel in occlusion_panels(replace(result, label=label)) if isinstance(panel, ClassTiles))
    tiles = two.rows[0].tiles
    assert [tile.footer for tile in tiles] == ["all classes", "class 0: 53", "class 1: 9"]
    middle = tiles[2].pixels.shape[0] // 2, tiles[2].pixels.shape[1] // 2  # in row 3
    assert (tiles[0].pixels[middle] == tiles[2].pixels[middle]).all()
    assert np.ptp(tiles[1].pixels[middle].astype(int)) == 0 < np.ptp(tiles[2].pixels[middle].astype(int))
    assert int(tiles[2].pixels[middle].argmin()) == int(np.argmin(HUES[1]))
    many = replace(result, names=tuple("abcdefghi"), label=(torch.arange(63) % 9).view(7, 9))
    rows = next(panel for panel in occlusion_panels(many) if isinstance(panel, ClassTiles)).rows
    assert [len(row.tiles) for row in rows] == [4, 4]
    assert rows[1].tiles[-1].footer == "3 other classes: 21"


def test_units(net: convscope.Net) -> None:
    result = occlusion(net, IMAGE, window=16, stride=16, follow="2", units=("5:1", "0:2"))
    maps = next(panel for panel in occlusion_panels(result) if isinstance(panel, HeatMaps))
    assert [one.title for one in maps.beside][3:] == ["unit 1 of 5", "unit 2 of 0"]
    assert f"The strongest of its layer on this image is {maps.beside[2].title}" in maps.caption
    vectors = convscope.Net(Quarter(), size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))
    panels = occlusion_panels(occlusion(vectors, IMAGE, window=16, stride=16))
    assert "unit" not in panels[1].caption
    compose(panels, "")


def test_dark_paper_pages_and_scales(result: OcclusionMap, stopped: OcclusionMap) -> None:
    for panel in (*occlusion_panels(result), *occlusion_panels(stopped)):
        light, dark = (panel.picture(1.0, dark=one) for one in (False, True))
        assert light.size == dark.size
        assert light.tobytes() != dark.tobytes()
    html = page(occlusion_panels(result), "")
    assert html.count("<figure>") == 4
    assert Image.open(io.BytesIO(result._repr_png_())).width > 700
    maps = next(panel for panel in occlusion_panels(result) if isinstance(panel, HeatMaps))
    wider = rescaled(maps, 0, 2)
    assert isinstance(wider, HeatMaps)
    assert wider.beside == maps.beside
    assert colours_of(wider).high == 2  # type: ignore[union-attr]
