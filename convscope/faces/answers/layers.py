"""A layer: what is known of it, and of each of its units, as JSON and as arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.atlas import Atlas
from convscope.faces.answers.figures import describe_filters, describe_maps, describe_vitals
from convscope.faces.answers.patches import Strips, read_patches
from convscope.studies.exemplars import find_layer

DEAD, RARE, STILL = 1, 2, 4  # bits of a unit's state
CLASSES = 3  # that excite a unit
Chosen = NDArray[np.int64] | None  # numbers of units; None for all


def layer_answer(atlas: Atlas, name: str) -> dict[str, Any]:
    """Vitals, filters and sample maps of a followed layer; pictures as WebP in base64. UnknownLayer, BadAddress."""
    name = find_layer(atlas.store, name)["name"]
    patches, found = read_patches(atlas.store, name), describe_vitals(atlas.vitals(name))
    filled = np.maximum((patches.rows >= 0).sum(axis=1), 1)
    counts = ("dead", "bound", "rare", "still", "zeros", "hoyer")
    return {
        "name": name,
        "silences": patches.silences,
        "quantity": "score (logit)" if name == atlas.store.manifest["net"]["output"] else "activation",
        "ceiling": patches.ceiling,
        "saturated": int((patches.saturated >= filled).sum()),
        **{key: found[key] for key in counts},
        "histograms": {key: found[key] for key in ("low", "high", "limit", "picture")},
        "filters": describe_filters(atlas, name),
        "maps": describe_maps(atlas, name),
    }


def unit_arrays(
    atlas: Atlas, name: str, units: Chosen = None, directions: int | None = None
) -> dict[str, NDArray[Any]]:
    """Vitals, patches, middle and classes of units of a followed layer, and its random directions (the first few).

    rows: (n, k) in atlas.images, -1 for none; values (n, k); places (n, k, 2); boxes (n, k, 4) in px of the input.
    """
    name = find_layer(atlas.store, name)["name"]
    patches, vitals = read_patches(atlas.store, name), atlas.vitals(name)
    chosen = np.arange(len(patches.rows)) if units is None else units
    found: dict[str, NDArray[Any]] = {"units": chosen}
    numbers = {"maximum": vitals.maximum, "mean": vitals.mean}
    numbers |= {"activeImages": vitals.active_images, "activePlaces": vitals.active_places}
    found |= {key: values[chosen] for key, values in numbers.items()}
    flags = zip((DEAD, RARE, STILL), (vitals.dead, vitals.rarely_active, vitals.gradient_dead), strict=True)
    found["state"] = sum((bit * flag[chosen].astype(np.uint8) for bit, flag in flags), np.zeros(len(chosen), np.uint8))
    found |= strip_arrays("strongest", patches.strongest.of(chosen))
    if patches.middle is not None:
        found |= strip_arrays("middle", patches.middle.of(chosen))
    if patches.directions is not None:
        found |= strip_arrays("directions", patches.directions.of(np.arange(len(patches.directions.rows))[:directions]))
    for part in ("classes", "means", "counts"):
        found[f"excited/{part}"] = np.asarray(atlas.store.of_layer(name, f"classes/{part}"))[chosen, :CLASSES]
    return found


def strip_arrays(name: str, strips: Strips) -> dict[str, NDArray[Any]]:
    """Patches by name."""
    parts: dict[str, NDArray[Any]] = {
        "rows": strips.rows,
        "values": strips.values,
        "places": strips.places,
        "boxes": strips.boxes,
    }
    return {f"{name}/{part}": array for part, array in parts.items()}


def histogram_arrays(atlas: Atlas, name: str, units: Chosen = None) -> dict[str, NDArray[Any]]:
    """counts (U, 64): images by a unit's greatest activation; edges (U, 2): the borders of the first and last bin."""
    vitals = atlas.vitals(find_layer(atlas.store, name)["name"])
    chosen = np.arange(len(vitals.histogram)) if units is None else units
    most = np.finfo(np.float32).max  # an infinite activation counts as the greatest number
    edges = np.clip(vitals.edges[chosen][:, [0, -1]], -most, most)
    return {"counts": vitals.histogram[chosen], "edges": edges.astype(np.float32)}
