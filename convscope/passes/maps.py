"""Activation maps of a few sample images, so that an atlas shows them without its network.

Every box is one unit, black is zero (CS231n). Kept are whole maps of at most 56 × 56 places of at most 64 units a
layer, as bytes of the layer's own scale.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from convscope.models.net import Net
from convscope.models.prepared import to_pixels
from convscope.passes.reading import unpack_picture
from convscope.store.files import write_arrays

IMAGES = 3
UNITS = 64  # of a layer
SIDE = 56  # places; larger maps are reduced by their maxima, so that nothing bright is lost


def write_maps(atlas: Path, net: Net, table: pa.Table) -> dict[str, Any]:
    """Writes maps/I/L.npy (units, rows, columns) for image I and layer L; gives what the manifest says of them."""
    rows = sample_rows(table)
    layers = [name for name in net.watched_layers if net.layer(name).spatial]
    scales: list[list[list[float] | None]] = []
    for number, row in enumerate(rows):
        pixels = to_pixels(unpack_picture(atlas, table, row)[None])
        with torch.inference_mode():
            outputs = net.outputs(pixels, layers)
        arrays, limits = {}, []
        for position, name in enumerate(layers):
            maps = outputs[name][0].float()
            maps = maps[torch.from_numpy(shown_units(len(maps)))]
            arrays[str(position)], limit = as_bytes(reduced(maps))
            limits.append(limit)
        write_arrays(atlas / "maps" / str(number), arrays)
        scales.append(limits)
    return {"rows": rows, "layers": layers, "scales": scales}


def sample_rows(table: pa.Table) -> list[int]:
    """The images that the net is surest of, each of another predicted class and another label where there are such."""
    order = np.argsort(-table["probability"].to_numpy(), kind="stable").tolist()
    predicted, labels = table["predicted_class"].to_pylist(), table["label"].to_pylist()
    chosen: list[int] = []
    for row in order:
        fresh = all(predicted[row] != predicted[one] for one in chosen)
        if fresh and (labels[row] is None or all(labels[row] != labels[one] for one in chosen)):
            chosen.append(row)
        if len(chosen) == IMAGES:
            break
    return chosen


def shown_units(count: int) -> NDArray[np.int64]:
    """The numbers of at most 64 units, evenly spaced."""
    return np.linspace(0, count - 1, min(count, UNITS)).round().astype(np.int64)


def reduced(maps: Tensor) -> Tensor:
    """C×H×W with at most 56 rows and columns; of joined places the greatest value in size counts."""
    height, width = maps.shape[1:]
    size = min(height, SIDE), min(width, SIDE)
    if size == (height, width):
        return maps
    high = functional.adaptive_max_pool2d(maps[None], size)[0]
    low = -functional.adaptive_max_pool2d(-maps[None], size)[0]
    return torch.where(high >= -low, high, low)


def as_bytes(maps: Tensor) -> tuple[NDArray[np.uint8], list[float] | None]:
    """Bytes, and the values [low, high] that 0 and 255 stand for: 0 … max, or symmetric about 0 where signed.

    No scale, and zeros, where a value is infinite or no number.
    """
    high, low = float(maps.max()), float(maps.min())
    if not np.isfinite(high - low):
        return np.zeros(maps.shape, np.uint8), None
    limit = max(high, -low)
    bottom = -limit if low < 0 else 0.0
    span = (limit - bottom) or 1.0
    return ((maps - bottom) / span * 255).round().byte().cpu().numpy(), [bottom, limit]
