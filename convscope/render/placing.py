"""A new photo among the images of an atlas, as panels: on their map, and beside those most like it."""

import numpy as np

from convscope.render import pixels
from convscope.render.figure import Panel
from convscope.render.panels import Scatter, Tile, TileRow, Tiles
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
    pairs = (found.rows, found.distances), (found.pixel_rows, found.pixel_distances)
    by_code, by_pixels = (
        tuple(
            Tile(store.pixels(row), away, footer=labels[row] or "")
            for row, away in zip(rows.tolist(), far.tolist(), strict=True)
        )
        for rows, far in pairs
    )
    tiles = Tiles(
        f"{found.image}: neighbours",
        (
            TileRow(found.image, "", (own,)),
            TileRow("by code", found.map.layer, by_code),
            TileRow("by pixels", "", by_pixels, control=True),
        ),
        f"The {len(found.rows)} of {len(labels):,} images whose codes are nearest, and those whose small pictures are. "
        "The number is the Euclidean distance of the codes; of pixels the root mean square difference, 0 to 1.",
        value_name="distance",
    )
    return (points, tiles)
