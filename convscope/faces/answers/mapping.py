"""Maps and grids as the page asks for them: numbers, what points are coloured by, and the tiles of a grid."""

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.atlas import Atlas
from convscope.faces.answers.rates import rounded
from convscope.layouts.nearest import Nearest
from convscope.layouts.quality import Quality
from convscope.render.mosaic import cells_picture
from convscope.store.opened import AtlasStore
from convscope.studies.grid import Grid, Way
from convscope.studies.mapping import Map, Purity, behind_rectifier

TILE = 256  # px of the longer side of a tile
QUALITY, EFFORT = 88, 1  # of tiles as WebP: more effort takes five times as long and saves a tenth


def code_list(store: AtlasStore, maps: Sequence[Map], grids: Sequence[tuple[str, Way]] = ()) -> list[dict[str, Any]]:
    """What there are codes of, the default first, and which of their maps and grids need not be computed."""
    return [
        {
            "name": name,
            "dimension": int(store.codes(name).shape[1]),
            "rectified": behind_rectifier(store, name),
            "maps": [found.method for found in maps if found.layer == name],
            "grids": [way for layer, way in grids if layer == name],
        }
        for name in store.code_names
    ]


def image_arrays(atlas: Atlas) -> dict[str, NDArray[Any]]:
    """Label (a number, -1 for none), predicted, probability and correct (2: unknown); `labels` is JSON in UTF-8."""
    table = atlas.images
    texts = [one or None for one in table["label"].to_pylist()]
    names = sorted({one for one in texts if one is not None})
    label = {name: at for at, name in enumerate(names)} | {None: -1}
    verdicts = [2 if one is None else int(one) for one in table["correct"].to_pylist()]
    return {
        "label": np.array([label[one] for one in texts], np.int32),
        "labels": np.frombuffer(json.dumps(names).encode(), np.uint8),
        "predicted": np.asarray(table["predicted_class"].to_numpy(), np.int32),
        "probability": np.asarray(table["probability"].to_numpy(), np.float32),
        "correct": np.array(verdicts, np.uint8),
    }


def numbers_of(found: Map) -> dict[str, Any]:
    """A map's numbers, as JSON; null where there is none."""
    plain = ("layer", "dimension", "rectified", "method", "seed", "begun", "laid_out")
    parts: dict[str, Quality | Purity] = {
        "truth": found.truth, "pixel_truth": found.pixel_truth, "purity": found.purity,
    }  # fmt: skip
    finite = {name: {one: number(value) for one, value in asdict(part).items()} for name, part in parts.items()}
    measures = {"perplexity": number(found.perplexity), "divergence": number(found.divergence)}
    return {name: getattr(found, name) for name in plain} | measures | finite | {"images": len(found.positions)}


def neighbour_answers(
    layer: str, codes: Nearest, pixels: Nearest, rows: NDArray[np.int64], k: int
) -> Iterator[dict[str, Any]]:
    """The k nearest images of each of these by code and, as a control, by pixels; distances as the study has them."""
    (near, away), (others, far) = codes.others(rows, k), pixels.others(rows, k)
    far = far / math.sqrt(pixels.points.shape[1])
    for at in range(len(rows)):
        yield {
            "layer": layer, "rows": near[at].tolist(), "distances": [rounded(one) for one in away[at].tolist()],
            "pixel_rows": others[at].tolist(), "pixel_distances": [rounded(one) for one in far[at].tolist()],
        }  # fmt: skip


def number(value: float) -> float | None:
    """None for what is no number."""
    return value if math.isfinite(value) else None


def levels_of(height: int, width: int) -> list[int]:
    """Px of the longer side of an image at each zoom level: 1, 2, 4, … up to the stored picture's."""
    return [2**level for level in range(math.ceil(math.log2(max(height, width, 2))) + 1)]


def grid_sizes(found: Grid) -> dict[str, Any]:
    """Rows and columns, px of a cell at the largest level, px of its longer side at each, and numbers."""
    height, width = found.store.pixels(0).shape[:2]
    levels = levels_of(height, width)
    plain = ("layer", "way", "rows", "columns", "images")
    cell = [round(levels[-1] * side / max(height, width)) for side in (height, width)]
    measures = {"cost": number(found.cost), "preservation": number(found.preservation), "of": len(found.cells)}
    return {name: getattr(found, name) for name in plain} | measures | {"cell": cell, "levels": levels, "tile": TILE}


def tiles_of(found: Grid, side: int) -> list[tuple[int, int]]:
    """The tiles (column, row) of a level."""
    across = max(1, TILE // side)
    return [(column, row) for row in range(-(-found.rows // across)) for column in range(-(-found.columns // across))]


def tile_picture(found: Grid, side: int, column: int, row: int) -> Image.Image | None:
    """A tile: so many whole cells as fit into TILE px; clear where there is no image. None beyond the edge."""
    across = max(1, TILE // side)
    owners = found.owners()[row * across : (row + 1) * across, column * across : (column + 1) * across]
    if not owners.size:
        return None
    picture = cells_picture(found.store, owners, side)
    if (owners >= 0).all():
        return Image.fromarray(picture)
    sizes = [size // cells for size, cells in zip(picture.shape, owners.shape, strict=False)]
    opaque = np.where(owners >= 0, 255, 0).astype(np.uint8).repeat(sizes[0], 0).repeat(sizes[1], 1)
    return Image.fromarray(np.dstack([picture, opaque]))


def tile_bytes(picture: Image.Image) -> bytes:
    """As WebP, made quickly."""
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=QUALITY, method=EFFORT, alpha_quality=100)
    return stream.getvalue()
