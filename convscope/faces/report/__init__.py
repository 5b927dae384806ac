"""The report: one HTML file that opens from disk and shows a whole network, every unit's favourite patches.

Each picture is in the file once; all patches of all units are drawn from these by the page's own small script.
Nothing is ever loaded from elsewhere, and names and labels are only ever shown as text.
"""

import base64
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from convscope.atlas import Atlas
from convscope.faces.report.choice import choose_units, exemplary_units
from convscope.faces.report.images import describe_images, pictures
from convscope.faces.report.inside import describe_health, describe_inside
from convscope.faces.report.layers import Patches, describe_layer, read_patches
from convscope.store.files import write_bytes
from convscope.watch import SILENT, Watch

PARTS = (
    "data.js",
    "elements.js",
    "tiles.js",
    "strips.js",
    "inside.js",
    "health.js",
    "overview.js",
    "layer.js",
    "images.js",
    "main.js",
)  # as they follow
BUDGET = 1500  # pictures in one file, 6 to 10 KB each


def write_report(atlas: Atlas, out: Path, *, note: str = "", budget: int = BUDGET, watch: Watch = SILENT) -> Path:
    """Writes the report of an atlas to `out`, whole or not at all; the same atlas gives the same bytes.

    note: a sentence about the images, shown under the title. budget: how many pictures the file may hold; where the
    units need more, fewer units of each layer are shown (never none), and their page says so.
    """
    page = files(__package__) / "page"
    script = "\n".join((page / name).read_text("utf-8") for name in PARTS)
    values = {
        "title": f"{plain(atlas.store.manifest['net']['name'])} · Convscope",
        "style": (page / "page.css").read_text("utf-8"),
        "script": f"\n{script}",
        "data": embedded(describe(atlas, note, budget, watch)),
    }
    values["policy"] = policy(values["style"], values["script"])
    template = (page / "page.html").read_text("utf-8")
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)  # one pass: values are never read again
    write_bytes(Path(out), text.encode())
    return Path(out)


def describe(atlas: Atlas, note: str, budget: int, watch: Watch) -> dict[str, Any]:
    """All that the page shows, as JSON."""
    store, manifest = atlas.store, atlas.store.manifest
    net = manifest["net"]
    layers = [read_patches(store, name) for name in store.followed]
    labels = atlas.images["label"].to_pylist()
    examples = {
        name: exemplary_units(next(layer for layer in layers if layer.name == name), labels)
        for name in exemplary_layers(net, store.layers, layers)
    }
    units, rows = choose_units(layers, examples, len(atlas.images), budget)
    names = ("name", "fingerprint", "classes", "labels", "size", "output")
    return {
        "note": note,
        "count": len(atlas.images),
        "net": {name: net[name] for name in names},
        "examples": [{"layer": name, "units": found} for name, found in examples.items() if found],
        "health": describe_health(atlas.health(), manifest["filters"]),
        "layers": [
            describe_layer(store.layers[layer.name], layer, units[layer.name])
            | describe_inside(atlas, layer.name, units[layer.name])
            for layer in layers
        ],
        **describe_images(atlas, rows),
        "pictures": pictures(atlas, rows, watch),
    }


def exemplary_layers(net: dict[str, Any], known: Any, layers: list[Patches]) -> list[str]:
    """The layers of the overview: the net's suggested ones that were followed (else a few of all), and the output."""
    followed = [layer.name for layer in layers]
    suggested = {known[name]["name"] for name in net["suggested_layers"] if name in known}
    found = [name for name in followed if name in suggested]
    if not found:
        inner = [name for name in followed if name != net["output"]]
        found = [inner[round(step * (len(inner) - 1) / 4)] for step in range(5)] if inner else []
    if net["output"] in followed:
        found.append(net["output"])
    return list(dict.fromkeys(found))


def embedded(content: Any) -> str:
    """JSON that can stand in a script element: no text in it can end the element or open another."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates of odd file names: \udc80 is JSON too


def plain(text: str) -> str:
    """Text for HTML outside of the script: markup characters as references."""
    return "".join(
        character if character.isalnum() or character in " .-_/:" else f"&#{ord(character)};" for character in text
    )


def policy(style: str, script: str) -> str:
    """What the page may do: its own style and script and embedded pictures, nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
