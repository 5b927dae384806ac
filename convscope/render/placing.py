"""A new photo among the images of an atlas, as panels: on their map, and beside those most like it."""

import numpy as np

from convscope.render import pixels
from convscope.render.figure import Panel
from convscope.render.neighbours import beside_control
from convscope.render.panels import Scatter, Tile, TileRow
from convscope.render.points import OTHERS
from convscope.studies.placing import Placed


def placed_panels(found: Placed) -> tuple[Panel, ...]:
    """The map with the photo on it, and its neighbours."""
    store, labels = found.map.store, found.map.labels
    all_of_them = np.concatenate([found.map.positions, found.position[None]]).astype(np.float64)
    near = set(found.rows.tolist())
    kinds = [("nearest by code" if row in near else OTHERS) for row in range(len(labels))]
    points = Scatter(
        found.address,
        all_of_them[:, 0],
        all_of_them[:, 1],
        f"Where {found.image} lies on the map of {found.map.layer} ({found.map.net}): it is drawn to the images whose "
        "codes are nearest, which stay where they are.",
        kinds=(*kinds, found.image),
    )
    own = Tile(pixels.to_bytes(found.prepared.pixels[0].cpu().numpy().transpose(1, 2, 0)))
    tiles = beside_control(
        f"{found.image}: neighbours", TileRow(found.image, "", (own,)), store, labels,
        f"{found.map.net}, {found.map.layer}", (found.rows, found.distances),
        (found.pixel_rows, found.pixel_distances),
    )  # fmt: skip
    return (points, tiles)
