"""The filters of a net in its atlas: pictures of the leading ones, and whether each layer's are smooth or noisy.

See convscope.techniques.filters for one layer with everything; Karpathy, CS231n: Conv/FC filters.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.errors import BadAddress
from convscope.models.kernels import Kernels, find_kernels, weighted_layers
from convscope.models.net import Net
from convscope.models.roughness import leading_components, roughness
from convscope.models.shuffling import mean_of, shuffled, strongest_slices, verdict, weighed
from convscope.store.files import write_arrays

SHUFFLES = 99
SHOWN = 64  # filters of a layer
BEYOND = 0.005  # of the shown weights may lie beyond the scale


def write_filters(atlas: Path, net: Net) -> dict[str, Any]:
    """Writes filters/L.npy (filters, height, width[, 3]) for layer L with spatial filters; gives what is known of all.

    Pictures are bytes: 0 and 255 stand for ∓limit. `of` says which filters make each watched layer.
    """
    kept: list[dict[str, Any]] = []
    arrays: dict[str, NDArray[np.uint8]] = {}
    for name in weighted_layers(net):
        kernels = find_kernels(net, name)
        record, pictures = described(kernels)
        if pictures is not None:
            arrays[str(len(kept))] = pictures
        kept.append(record)
    write_arrays(atlas / "filters", arrays)
    return {"layers": kept, "of": makers(net), "shuffles": SHUFFLES}


def described(kernels: Kernels) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
    """A layer's verdict with its evidence as JSON, and pictures of its first filters; none of 1×1 ones."""
    weights = kernels.weights.numpy()
    size = weights.shape[2], weights.shape[3]
    sample = strongest_slices(weights, SHUFFLES)
    evidence = weighed(sample, shuffled(sample, SHUFFLES, 0, silent))
    grade, sentence = verdict(evidence, size)
    record: dict[str, Any] = {
        "name": kernels.layer,
        "kind": kernels.kind,
        "first": kernels.first,
        "filters": len(weights),
        "channels": weights.shape[1],
        "size": list(size),
        "grade": grade,
        "verdict": sentence,
        "roughness": number(mean_of(roughness(weights))),
        "shuffled": number(evidence.shuffled_roughness),
    }
    if size == (1, 1) and not kernels.first:
        return record, None
    values = weights[:SHOWN].transpose(0, 2, 3, 1) if kernels.first else leading_components(weights[:SHOWN])[0]
    limit = float(np.quantile(np.abs(values), 1 - BEYOND)) or float(np.abs(values).max()) or 1.0
    pictures = np.clip(np.round((values / limit + 1) * 127.5), 0, 255).astype(np.uint8)
    return record | {"limit": limit}, pictures


def makers(net: Net) -> dict[str, str]:
    """Watched layer → the layer whose filters make it; without those that are made by none (a sum, a pool)."""
    found = {}
    for name in net.watched_layers:
        try:
            found[name] = find_kernels(net, name).layer
        except BadAddress:
            continue
    return found


def silent(done: int, draws: int) -> None:
    """Nobody waits for the shuffles: they take a tenth of a second a layer."""


def number(value: float) -> float | None:
    """As JSON holds it: null for what is no number."""
    return value if np.isfinite(value) else None
