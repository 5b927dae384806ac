"""One colour scale for several panels: the same numbers get the same colours."""

import numpy as np
import pytest
import torch

import convscope
from convscope.render.draw import draw
from convscope.render.panels import Curve, HeatMap, Overlay, Tiles
from convscope.render.pixels import colour
from convscope.render.scales import colours_of, rescaled
from tests.tiny_atlas import SIZE, tiny_net

GREY = np.full((8, 8, 3), 100, np.uint8)


def test_heat_maps_and_overlays() -> None:
    values = np.array([[0.0, 2.0], [1.0, 4.0]])
    for panel in (
        HeatMap("", values, "", "score", "logit"),
        Overlay("", GREY, "", heat=values, name="score", unit="logit"),
    ):
        found = colours_of(panel)
        assert found is not None
        assert (found.quantity, found.low, found.high, found.signed) == ("score (logit)", 0, 4, False)
        assert colours_of(rescaled(panel, 0, 10)).high == 10  # type: ignore[union-attr]
        assert rescaled(panel, 3, 3) is panel
    signed = rescaled(HeatMap("", values - 2, "", signed=True), -1, 6)
    assert colours_of(signed).low == -6  # type: ignore[union-attr]


def test_panels_without_colours_stay() -> None:
    curve = Curve("", (), "x", "y", "")
    assert colours_of(curve) is None
    assert rescaled(curve, 0, 1) is curve
    assert colours_of(Overlay("", GREY, "")) is None


@pytest.mark.parametrize("layer", ["1", "0"])
def test_maps_of_two_images_on_one_scale(layer: str) -> None:
    net = tiny_net()
    dark, bright = (convscope.activations(net, torch.full((3, *SIZE), share), layer) for share in (0.2, 0.9))
    panels = [next(panel for panel in draw(result) if isinstance(panel, Tiles)) for result in (dark, bright)]
    scales = [colours_of(panel) for panel in panels]
    assert None not in scales
    low, high = min(one.low for one in scales), max(one.high for one in scales)  # type: ignore[union-attr]
    for panel, result in zip(panels, (dark, bright), strict=True):
        shared = rescaled(panel, low, high)
        assert isinstance(shared, Tiles)
        tiles = [tile for row in shared.rows for tile in row.tiles]
        for unit, tile in enumerate(tiles):
            values = result.maps[unit].numpy()
            if values.any():
                np.testing.assert_array_equal(tile.pixels, colour(values, low < 0, (low, high)))
        assert shared.picture(1.0).size == panel.picture(1.0).size
