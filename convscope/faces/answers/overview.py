"""The atlas at a glance: the net with its graph, the health of its layers, accuracy, confusions, what can be asked."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from convscope.atlas import Atlas
from convscope.faces.answers.choice import exemplary_layers, exemplary_units
from convscope.faces.answers.figures import finite
from convscope.faces.answers.patches import read_patches
from convscope.faces.answers.rates import accuracy, groups
from convscope.studies.health import Health

CONFUSIONS = 60  # the most frequent ones
GROUPS = 2000  # labels at most; the rest is in the table of images


def overview(atlas: Atlas, note: str = "", techniques: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """All that does not depend on a layer, unit or image, as JSON."""
    manifest, table = atlas.store.manifest, atlas.images
    net = manifest["net"]
    names = ("name", "fingerprint", "classes", "labels", "size", "output", "layers")
    suggested = exemplary_layers(net, atlas.store.layers, list(atlas.store.followed))
    return {
        "note": note,
        "count": len(table),
        "skipped": len(atlas.skipped),
        "net": {name: net[name] for name in names},
        "suggested": suggested,
        "examples": examples(atlas, suggested),
        "health": health_answer(atlas.health()),
        "verdicts": verdicts(manifest["filters"]),
        "accuracy": accuracy(table["correct"].to_pylist()),
        "confusions": confusions(table),
        "groups": groups(table)[:GROUPS],
        "techniques": list(techniques),
        "trials": {},
    }


def examples(atlas: Atlas, layers: Sequence[str]) -> list[dict[str, Any]]:
    """Some units of these layers that show well what a layer looks for."""
    labels = atlas.images["label"].to_pylist()
    found = [(name, exemplary_units(read_patches(atlas.store, name), labels)) for name in layers]
    return [{"layer": name, "units": units} for name, units in found if units]


def health_answer(health: Health) -> dict[str, Any]:
    """Numbers of all followed layers; null where they have no meaning."""
    counts = {"dead": health.dead, "rare": health.rarely_active, "still": health.gradient_dead}
    return {
        "layers": list(health.layers),
        "units": health.units.tolist(),
        **{name: [int(value) if value >= 0 else None for value in found] for name, found in counts.items()},
        "zeros": finite(health.fraction_zero),
        "hoyer": finite(health.hoyer),
        "radius": finite(health.radius),
        "sample": health.sample,
        "gradientSample": health.gradient_sample,
    }


def verdicts(filters: dict[str, Any]) -> dict[str, Any]:
    """Followed layer → whose filters make it, and what is said of them."""
    records = {record["name"]: record for record in filters["layers"]}
    return {
        layer: {"owner": owner, "grade": records[owner]["grade"], "verdict": records[owner]["verdict"]}
        for layer, owner in filters["of"].items()
        if owner in records
    }


def confusions(table: pa.Table) -> list[dict[str, Any]]:
    """The most frequent wrong predictions among the images whose label is a class."""
    columns = (table[name].to_pylist() for name in ("label", "predicted_class", "correct"))
    wrong = Counter((label, predicted) for label, predicted, correct in zip(*columns, strict=True) if correct is False)
    ranked = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"label": label, "predicted": predicted, "count": count} for (label, predicted), count in ranked[:CONFUSIONS]
    ]
