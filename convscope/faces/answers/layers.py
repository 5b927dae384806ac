"""A layer: what is known of it, and of each of its units, as JSON and as arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.atlas import Atlas
from convscope.faces.report.inside import CLASSES, describe_filters, describe_maps, describe_vitals
from convscope.faces.report.layers import Strips, read_patches, read_strips
from convscope.studies.exemplars import find_layer

DEAD, RARE, STILL = 1, 2, 4  # bits of a unit's state


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


def unit_arrays(atlas: Atlas, name: str) -> dict[str, NDArray[Any]]:
    """Vitals, patches, middle and classes of every unit of a followed layer, and its random directions.

    rows: (n, k) in atlas.images, -1 for none; values (n, k); places (n, k, 2); boxes (n, k, 4) in px of the input.
    """
    name = find_layer(atlas.store, name)["name"]
    patches, vitals = read_patches(atlas.store, name), atlas.vitals(name)
    flags = zip((DEAD, RARE, STILL), (vitals.dead, vitals.rarely_active, vitals.gradient_dead), strict=True)
    count = atlas.store.manifest["folds"]["directions"]["count"]
    first = list(atlas.store.followed).index(name) * count
    strips = {
        "strongest": Strips(patches.rows, patches.values, patches.places, patches.boxes),
        "middle": patches.middle,
        "directions": read_strips(atlas.store, "directions", slice(first, first + count)),
    }
    found: dict[str, NDArray[Any]] = {
        "units": np.arange(len(patches.rows), dtype=np.int32),
        "maximum": vitals.maximum,
        "mean": vitals.mean,
        "activeImages": vitals.active_images,
        "activePlaces": vitals.active_places,
        "state": sum((bit * flag.astype(np.uint8) for bit, flag in flags), np.zeros(len(patches.rows), np.uint8)),
    }
    for fold, strip in strips.items():
        if strip is not None:
            parts: dict[str, NDArray[Any]] = {
                "rows": strip.rows,
                "values": strip.values,
                "places": strip.places,
                "boxes": strip.boxes,
            }
            found |= {f"{fold}/{part}": array for part, array in parts.items()}
    for part in ("classes", "means", "counts"):
        found[f"excited/{part}"] = np.asarray(atlas.store.of_layer(name, f"classes/{part}"))[:, :CLASSES]
    return found


def histogram_arrays(atlas: Atlas, name: str) -> dict[str, NDArray[Any]]:
    """counts (U, 64): images by a unit's greatest activation; edges (U, 2): the borders of the first and last bin."""
    vitals = atlas.vitals(find_layer(atlas.store, name)["name"])
    return {"counts": vitals.histogram, "edges": vitals.edges[:, [0, -1]].astype(np.float32)}
