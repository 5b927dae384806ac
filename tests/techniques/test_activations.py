"""Activations: equal to what hooks see, sparsity by hand, silent and dead units, and what the pictures say."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import convscope
from convscope.arrays import Box
from convscope.models.address import Address
from convscope.render.activations import across_of
from convscope.render.panels import HeatMap, Overlay, Table, Tiles
from convscope.technique import Result
from convscope.techniques.activations import Activations, activations, hoyer
from tests.nets import Planted, Spellings, small_classifier
from tests.tiny_atlas import FULL_UNIT, SILENT_UNIT, tiny_atlas, tiny_net

SIZE = (32, 32)


class Overflowing(nn.Module):
    """Unit 0 is NaN where a pixel is black, unit 1 infinite there, unit 2 the green of the image."""

    def forward(self, x: Tensor) -> Tensor:
        red, green = x[:, :1], x[:, 1:2]
        return F.relu(torch.cat([red / red, 1 / red, green], 1)).mean((2, 3))


def picture(height: int = 32, width: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def net_of(module: nn.Module, size: tuple[int, int] = SIZE) -> convscope.Net:
    return convscope.Net(module, size=size, name="tiny")


def drawn(result: Result) -> tuple[Overlay, Tiles]:
    overlay, tiles = convscope.draw(result)
    assert isinstance(overlay, Overlay)
    assert isinstance(tiles, Tiles)
    return overlay, tiles


def pixels_of(tiles: Tiles) -> list[NDArray[np.uint8]]:
    return [tile.pixels for row in tiles.rows for tile in row.tiles]


@pytest.mark.parametrize(("name", "call"), [("act", 0), ("act#2", 1), ("two", 0), ("three", 0)])
def test_values_are_those_that_hooks_see(name: str, call: int) -> None:
    module, seen = Spellings().eval(), []
    net = net_of(module)
    result = activations(net, picture(), name)
    handle = getattr(module, name.partition("#")[0]).register_forward_hook(lambda *args: seen.append(args[-1].clone()))
    with torch.no_grad():
        module(net.prepare(picture()).pixels)
    handle.remove()
    expected = seen[call][0]
    torch.testing.assert_close(result.maps, expected, rtol=0, atol=0)
    torch.testing.assert_close(result.unit_max, expected.amax((1, 2)), rtol=0, atol=0)
    torch.testing.assert_close(result.fraction_zero, (expected == 0).float().mean((1, 2)))
    assert result.zeros == pytest.approx(float((expected == 0).double().mean()))
    assert result.rectified == name.startswith("act")
    assert result.strongest is not None
    unit, (row, column) = result.strongest.unit, result.strongest.place or (0, 0)
    assert isinstance(unit, int)
    assert expected[unit, row, column] == expected.max()
    assert result.strongest_box == net.input_box(result.strongest)


def test_half_of_a_random_layer_is_zero_for_symmetric_input() -> None:
    """He initialisation, no bias, pixels symmetric about the mean: each activation is above 0 as often as below."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 64, 3, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.kaiming_normal_(module[0].weight)
    net = convscope.Net(module, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), size=(64, 64))
    pixels = torch.rand(3, 64, 64)
    first, mirrored = (activations(net, image, "1") for image in (pixels, 1 - pixels))
    assert first.zeros + mirrored.zeros == pytest.approx(1, abs=1e-4)  # exact by symmetry
    assert first.zeros == pytest.approx(0.5, abs=0.03)


def test_hoyer_is_0_for_alike_and_1_for_a_single_value() -> None:
    one = torch.zeros(4, 5, 5)
    one[2, 3, 1] = 7
    assert hoyer(torch.full((4, 5, 5), 0.3)) == pytest.approx(0)
    assert hoyer(one) == pytest.approx(1)
    assert hoyer(one * 1e30) == pytest.approx(1)
    assert hoyer(torch.tensor([3.0, 4.0])) == pytest.approx((math.sqrt(2) - 7 / 5) / (math.sqrt(2) - 1))
    assert hoyer(torch.tensor([3.0, -4.0, math.nan, math.inf])) == hoyer(torch.tensor([3.0, 4.0]))
    for nothing in (torch.zeros(3, 2), torch.ones(1), torch.full((4,), math.nan), torch.zeros(0)):
        assert math.isnan(hoyer(nothing))


def test_a_planted_unit_is_silent() -> None:
    result = activations(net_of(Planted()), picture(), "/relu#1")
    assert result.silent.tolist() == [False, False, True]
    assert (result.unit_max[2], result.fraction_zero[2]) == (0, 1)
    assert result.lines()[3] == ["2", "0", "100.0 %", "silent"]
    assert not result.dead.any()
    assert result.dead_images == 0
    _, tiles = drawn(result)
    crossed = pixels_of(tiles)[2]
    assert (crossed == 0).mean() > 0.95  # black, with one hairline from corner to corner
    assert crossed[0, -1].any()
    assert crossed[-1, 0].any()
    assert not crossed[0, 0].any()
    assert "1 of 3 units is silent on this image (a line through the map)" in tiles.caption
    before = activations(net_of(Planted()), picture(), "conv")  # the same unit before the ReLU: far below 0, not at 0
    assert before.silent.tolist() == [False, False, True]
    assert "1 of 3 units is nowhere above 0." in drawn(before)[1].caption
    assert "silent" not in drawn(before)[1].caption


def test_an_atlas_tells_which_units_are_dead(tmp_path: Path) -> None:
    atlas = tiny_atlas(tmp_path)
    result = activations(tiny_net(), picture(), "1", atlas=atlas.folder)
    assert torch.nonzero(result.dead).flatten().tolist() == [SILENT_UNIT]
    assert result.dead_images == 6
    assert result.state(SILENT_UNIT) == "dead on 6 images, silent"
    assert result.fraction_zero[FULL_UNIT] == 0
    _, tiles = drawn(result)
    crossed = pixels_of(tiles)[SILENT_UNIT]
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):  # two lines
        assert crossed[row, column].any()
    assert "1 never rose above 0 on the 6 images of the atlas (crossed)" in tiles.caption
    assert "fewer than 0.5 of such images (3/N, 95 % confidence)" in tiles.caption
    alive = replace(result, dead=torch.zeros(5, dtype=torch.bool))
    assert "No unit is dead on all of the 6 images of the atlas." in drawn(alive)[1].caption
    awake = replace(result, dead=torch.tensor([True, True, True, False, False]))
    assert "2 of these fire here all the same." in drawn(awake)[1].caption
    with pytest.raises(
        convscope.BadOption, match=r"is not the network of this atlas(?s:.*)hint: the atlas was built with tiny <net>"
    ):
        activations(net_of(small_classifier()), picture(), "2", atlas=atlas.folder)
    with pytest.raises(convscope.BadOption, match="did not follow 0\n\nhint: it followed 1, 4, 7"):
        activations(tiny_net(), picture(), "0", atlas=atlas.folder)
    with pytest.raises(convscope.BadOption, match="below 0 its units still speak"):
        activations(tiny_net(), picture(), "class", atlas=atlas.folder)
    with pytest.raises(convscope.BadAtlas, match="is no atlas"):
        activations(tiny_net(), picture(), "1", atlas=tmp_path / "nothing")


def test_black_is_zero_and_one_scale_keeps_proportions() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[8:, :, 0] = 255  # red 0 or 1
    image[16:, :, 1] = 51  # green 0 or 0.2
    net = net_of(Planted())
    _, shared = drawn(activations(net, image, "/relu#1"))
    red, green, _ = pixels_of(shared)
    assert not red[:8].any()
    assert not green[:16].any()
    assert red[8:].mean() > 3 * green[16:].mean() > 0
    assert shared.scale is not None
    assert shared.scale.limits == (0, 1)
    assert [tile.footer for tile in shared.rows[0].tiles] == ["0", "1", "2"]
    _, own = drawn(activations(net, image, "/relu#1", scale="map"))
    red, green, _ = pixels_of(own)
    assert (red[-1, -1] == green[-1, -1]).all()
    assert not green[:16].any()
    assert own.scale is None
    assert [tile.footer for tile in own.rows[0].tiles] == ["0: 1.00", "1: 0.20", "2: 0.00"]
    assert "each map has its own scale, up to its maximum;" in own.caption
    _, boosted = drawn(activations(net, image, "/relu#1", boost=5))
    red, green, _ = pixels_of(boosted)
    assert (red[-1, -1] == green[-1, -1]).all()
    assert boosted.scale is not None
    assert boosted.scale.limits == (0, 0.2)
    assert "up to the largest value divided by 5 (the boost), beyond which 25.0% of the values lie" in boosted.caption


def test_options_change_the_picture_never_the_values() -> None:
    net = net_of(small_classifier())
    plain = activations(net, picture(), "2")
    other = activations(net, picture(), "2", scale="map", boost=3, order="strength", units=(4, 0, 4, 2))
    for name, array in plain.arrays().items():
        if name not in ("scale", "boost", "order"):
            np.testing.assert_array_equal(array, other.arrays()[name])
    assert plain.shown == tuple(range(6))
    assert sorted(other.shown) == [0, 2, 4]
    maxima = [float(other.unit_max[unit]) for unit in other.shown]
    assert maxima == sorted(maxima, reverse=True)
    assert activations(net, picture(), "2", units=(4, 0)).shown == (4, 0)
    assert "3 of 6 maps of 2 (relu) for an array, the most active first" in drawn(other)[1].caption
    assert "in the order given" in drawn(activations(net, picture(), "2", units=(4, 0)))[1].caption


def test_signed_layers_are_drawn_about_mid_grey() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]])[:, :, None, None])
        module[0].bias.zero_()
    image = np.zeros((32, 32, 3), np.uint8)
    image[16:, :, 0] = 255
    for layer in ("0", "1"):  # also a network without any ReLU
        result = activations(net_of(module), image, layer)
        assert not result.rectified
        _, tiles = drawn(result)
        first, second = pixels_of(tiles)
        assert (first[:16] == 128).all()
        assert first[-1, -1, 0] > first[-1, -1, 2]  # orange above 0
        assert second[-1, -1, 0] < second[-1, -1, 2]  # blue below
        assert tiles.scale is not None
        assert tiles.scale.limits[0] == -tiles.scale.limits[1]
        assert "Mid-grey is 0, orange positive, blue negative" in tiles.caption
    assert "1 of 2 units is silent on this image." in tiles.caption  # tanh: 0 is rest
    leaky = nn.Sequential(nn.Conv2d(3, 2, 1), nn.LeakyReLU(0.1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    leaky[0].load_state_dict(module[0].state_dict())
    assert activations(net_of(leaky), image, "1").silent.tolist() == [False, True]


def test_values_that_are_no_numbers_are_said() -> None:
    image = picture()
    image[:, :, 0] = 255
    image[:4, :, 0] = 0
    result = activations(net_of(Overflowing()), image, "/relu#1")
    assert result.not_finite == 2 * 4 * 32
    assert torch.isnan(result.maps[0, :4]).all()
    assert result.unit_max[0] == 1
    assert result.unit_max[1] == 1
    assert math.isfinite(result.hoyer)
    overlay, tiles = drawn(result)
    assert "256 values are not finite: infinite ones lie beyond the scale, NaN is light grey" in tiles.caption
    assert (pixels_of(tiles)[0][0, 0] == 205).all()
    for panel in (overlay, tiles):
        json.dumps(panel.numbers(), allow_nan=False)
        assert panel.png()
    nothing = activations(net_of(Overflowing()), np.zeros((32, 32, 3), np.uint8), "/relu#1")
    assert torch.isnan(nothing.unit_max[:2]).all()
    assert nothing.silent.tolist() == [False, False, True]
    assert nothing.strongest is None
    overlay, tiles = drawn(nothing)
    assert "No activation of /relu#1 is above 0." in overlay.caption
    assert tiles.png()
    assert activations(net_of(Overflowing()), image * 0 + 255, "/relu#1", order="strength").shown == (0, 1, 2)
    assert activations(net_of(Overflowing()), image * 0, "/relu#1", order="strength").shown == (2, 0, 1)


def test_a_vector_is_one_place_a_unit() -> None:
    net = convscope.Net(small_classifier(), size=SIZE, labels=["ant", "bee", "cat", "dog"], name="tiny")
    result = activations(net, picture(), "class")
    assert result.maps.shape == (4, 1, 1)
    torch.testing.assert_close(result.maps[:, 0, 0], net.scores(net.prepare(picture()).pixels)[0])
    assert result.quantity == "score (logit)"
    assert result.strongest == Address("9", int(result.unit_max.argmax()))
    assert [row[0] for row in result.lines()] == ["unit", "0 ant", "1 bee", "2 cat", "3 dog"]
    overlay, cells, table = convscope.draw(result)
    assert isinstance(overlay, Overlay)
    assert isinstance(cells, HeatMap)
    assert isinstance(table, Table)
    assert overlay.boxes == ()
    assert "it sees the whole image" in overlay.caption
    np.testing.assert_array_equal(cells.values.ravel(), result.maps.flatten().numpy())
    assert cells.signed
    best = int(result.unit_max.argmax())
    assert table.rows[0][0] == str(best)
    assert table.rows[0][2] == result.names[best]
    pooled = activations(net, picture(), "6")  # 8×1×1 counts as a vector too
    assert pooled.maps.shape == (8, 1, 1)
    assert [panel.kind for panel in convscope.draw(pooled)] == ["image", "heat map", "table"]


def test_cells_of_a_vector_stand_in_rows_without_rest_where_they_can() -> None:
    found = {count: across_of(count) for count in (1, 4, 512, 1000, 1280, 2048, 4096, 9216, 10**6)}
    assert found == {1: 1, 4: 4, 512: 32, 1000: 40, 1280: 40, 2048: 64, 4096: 64, 9216: 128, 10**6: 256}


def test_any_kind_of_image(tmp_path: Path) -> None:
    net, pixels = net_of(small_classifier()), picture(48, 40)
    file = tmp_path / "cat.png"
    Image.fromarray(pixels).save(file)
    with Image.open(file) as opened:
        kinds = [file, str(file), opened, Image.fromarray(pixels), pixels]
        found = [activations(net, image, "2") for image in kinds]
    assert [result.image for result in found] == ["cat.png", "cat.png", "cat.png", "a picture", "an array"]
    for result in found[1:]:
        assert torch.equal(result.maps, found[0].maps)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    result = activations(net, tensor.requires_grad_(), "2")
    assert result.image == "a tensor"
    assert not result.maps.requires_grad
    assert not result.pixels.requires_grad
    torch.testing.assert_close(result.maps, found[0].maps, rtol=0, atol=0.02)
    assert torch.equal(found[0].pixels, net.prepare(file).pixels[0])


def test_mistakes_are_named() -> None:
    net = net_of(small_classifier())
    with pytest.raises(convscope.UnknownLayer, match="tiny has no layer 'relu'"):
        activations(net, picture(), "relu")
    with pytest.raises(convscope.BadOption, match=r"boost is 0.5\n\nhint: Input should be greater than or equal to 1"):
        activations(net, picture(), "2", boost=0.5)
    with pytest.raises(convscope.BadOption, match="boost is nan"):
        activations(net, picture(), "2", boost=math.nan)
    with pytest.raises(convscope.BadOption, match=r"no option 'bost'\n\nhint: did you mean 'boost'\?"):
        activations(net, picture(), "2", bost=2)  # type: ignore[call-arg]
    with pytest.raises(convscope.BadOption, match="scale is 'both'\n\nhint: Input should be 'shared' or 'map'"):
        activations(net, picture(), "2", scale="both")  # type: ignore[arg-type]
    with pytest.raises(convscope.BadOption, match="2 has 6 units, so 6 is none\n\nhint: 0 to 5"):
        activations(net, picture(), "2", units=(1, 6))
    with pytest.raises(convscope.BadOption, match=r"units\.0 is -1"):
        activations(net, picture(), "2", units=(-1,))
    with pytest.raises(convscope.BadOption, match=r"net is 'alexnet'\n\nhint: Input should be an instance of Net"):
        activations("alexnet", picture(), "2")  # type: ignore[arg-type]
    with pytest.raises(convscope.BadOption, match="an array image is H×W×3 uint8"):
        activations(net, picture() / 255, "2")
    with pytest.raises(convscope.UnreadableImage, match="no such file"):
        activations(net, "nothing.png", "2")


def test_no_trace_is_left() -> None:
    module = small_classifier().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    net = net_of(module)
    activations(net, picture(), "2")
    with pytest.raises(convscope.UnknownLayer):
        activations(net, picture(), "nothing")
    assert all(part.training for part in module.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_the_result_can_be_kept(tmp_path: Path) -> None:
    result = activations(net_of(small_classifier()), picture(), "2")
    assert isinstance(result, Activations)
    with np.load(result.save(tmp_path / "a.npz")) as saved:
        np.testing.assert_array_equal(saved["maps"], result.maps.numpy())
        assert saved["fraction_zero"].shape == (6,)
        assert str(saved["layer"]) == "2"
    assert result.save(tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert "numbers" in result.save(tmp_path / "a.html").read_text()
    numbers = drawn(result)[1].numbers()
    assert numbers["colours"] == {"limits": [0.0, float(result.maps.max())], "signed": False}
    values = [tile["value"] for row in numbers["rows"] for tile in row["tiles"]]
    assert values == result.unit_max.tolist()


@pytest.mark.heavy
def test_pictures_of_a_real_network(lite0: convscope.Net, tmp_path: Path) -> None:
    net = lite0
    image = np.asarray(Image.fromarray(picture(8, 8)).resize((224, 224), Image.Resampling.BICUBIC))
    overlay, tiles = drawn(activations(net, image, "bn1"))
    assert overlay.image.shape == (224, 224, 3)
    assert (overlay.image == image).all()
    assert len(overlay.boxes) == 1
    assert "places with that value; it sees the white box." in overlay.caption
    assert "All 32 maps of bn1 (relu6) for an array, by number, 112×112 places each." in tiles.caption
    assert "A place sees 3×3 px every 2 px." in tiles.caption
    assert tiles.title == "bn1, efficientnet-lite0"
    last = activations(net, image, "bn2")
    overlay, tiles = drawn(last)
    assert overlay.boxes == ()
    assert "The first 256 of 1,280 maps" in tiles.caption
    assert len(pixels_of(tiles)) == 256
    assert f"{int(last.silent.sum()):,} of 1,280 units are silent" in tiles.caption
    strongest = drawn(activations(net, image, "bn2", order="strength"))[1]
    assert "The 256 most active of 1,280 maps" in strongest.caption
    assert strongest.rows[0].tiles[0].value == last.unit_max.max()
    assert last.save(tmp_path / "a.png").stat().st_size > 10_000


def test_large_maps_are_drawn_small() -> None:
    module = nn.Sequential(nn.Conv2d(3, 40, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    _, tiles = drawn(activations(net_of(module, (600, 900)), picture(), "1"))
    assert max(pixels.shape[1] for pixels in pixels_of(tiles)) == 4 * 64
    assert tiles.smooth


def test_a_unit_that_sees_nothing_draws_no_box() -> None:
    result = activations(net_of(small_classifier()), picture(), "2")
    overlay, _ = drawn(replace(result, strongest_box=Box(0, 0, 0, 0)))
    assert overlay.boxes == ()
    assert "it sees nothing of the image" in overlay.caption
