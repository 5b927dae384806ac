"""What a layer does and is made of as small pictures: histograms, filters with their verdict, maps of sample images."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.atlas import Atlas
from convscope.render.pixels import Pixels, colour
from convscope.render.vitals import maxima
from convscope.studies.vitals import Vitals

ACROSS = 16  # filters in a row of the picture
MAPS_ACROSS = 8


def describe_vitals(vitals: Vitals) -> dict[str, Any]:
    """Counts, and the picture of all units' maxima."""
    shares, low, high, limit = maxima(vitals)
    return {
        "dead": int(vitals.dead.sum()),
        "bound": vitals.dead_bound,
        "rare": int(vitals.rarely_active.sum()),
        "still": int(vitals.gradient_dead.sum()),
        "zeros": finite(vitals.fraction_zero),
        "hoyer": finite(vitals.hoyer),
        "always": int((vitals.active_images == 1).sum()),
        "low": low,
        "high": high,
        "limit": limit,
        "picture": picture(colour(np.sqrt(shares / limit).astype(np.float32), False, (0.0, 1.0))),
    }


def describe_filters(atlas: Atlas, name: str) -> dict[str, Any] | None:
    """The filters that make a layer, and their verdict; None where none do."""
    kept = atlas.store.manifest["filters"]
    owner = kept["of"].get(name)
    index = next((at for at, record in enumerate(kept["layers"]) if record["name"] == owner), None)
    if index is None:
        return None
    record = kept["layers"][index]
    found = {key: record[key] for key in ("name", "first", "filters", "channels", "size", "grade", "verdict")}
    if "limit" not in record:
        return found | {"picture": None}
    tiles = np.asarray(atlas.store.array(f"filters/{index}"))
    if tiles.ndim == 3:
        centred = tiles.astype(np.float32) / 127.5 - 1
        tiles = np.stack([colour(tile, True, (-1.0, 1.0)) for tile in centred])
    shown = {"shown": len(tiles), "limit": record["limit"], "across": min(ACROSS, len(tiles))}
    return found | shown | {"picture": picture(grid(tiles, ACROSS))}


def describe_maps(atlas: Atlas, name: str) -> list[dict[str, Any]]:
    """For each sample image the grid of a layer's maps on one scale; none for vectors and for what is not finite."""
    kept = atlas.store.manifest["maps"]
    if name not in kept["layers"]:
        return []
    position = kept["layers"].index(name)
    levels, found = np.arange(256, dtype=np.float32) / 255, []
    for number, row in enumerate(kept["rows"]):
        scale = kept["scales"][number][position]
        if scale is None:  # something in these maps is infinite or no number
            continue
        low, high = scale
        signed = low < 0
        colours = colour(levels * 2 - 1 if signed else levels, signed, (-1.0, 1.0) if signed else (0.0, 1.0))
        tiles = colours[np.asarray(atlas.store.array(f"maps/{number}/{position}"))]
        shown = picture(grid(tiles, MAPS_ACROSS), quality=72)
        found.append({"row": row, "low": low, "high": high, "shown": len(tiles), "picture": shown})
    return found


def grid(tiles: NDArray[np.uint8], across: int) -> Pixels:
    """T×h×w×3 → tiles in rows, with clear lines of one cell between them: H×W×4."""
    count, height, width, _ = tiles.shape
    across = min(across, count)
    rows = -(-count // across)
    found = np.zeros((rows * (height + 1) - 1, across * (width + 1) - 1, 4), np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // across * (height + 1), index % across * (width + 1)
        found[top : top + height, left : left + width, :3] = tile
        found[top : top + height, left : left + width, 3] = 255
    return found


def picture(pixels: Pixels, quality: int | None = None) -> dict[str, Any]:
    """A picture as WebP in base64 with its size; lossless unless a quality is given."""
    stream = io.BytesIO()
    # with a quality, method 4 would take three times as long for a picture that is an eighth smaller
    options: dict[str, Any] = {"lossless": True, "method": 4} if quality is None else {"quality": quality, "method": 1}
    Image.fromarray(pixels).save(stream, "WEBP", **options)
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "bytes": base64.b64encode(stream.getvalue()).decode(),
    }


def finite(values: Any) -> Any:
    """Numbers as JSON holds them: null for what is none."""
    if np.ndim(values):
        return [finite(value) for value in values]
    return round(float(values), 4) if np.isfinite(values) else None
