"""The images in the report: what the net says of them, and their pictures, each once."""

import base64
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from convscope.atlas import Atlas
from convscope.errors import BuildStopped
from convscope.faces.report.layers import packed
from convscope.watch import Watch

QUALITY = 80  # of the pictures, lossy WebP: about 6 KB at 224 × 224 px
FREQUENT = 3  # predictions that are named for a label
CONFIDENCE = 1.959963984540054  # normal quantile of a 95 % interval


def describe_images(atlas: Atlas, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Predictions as JSON: the images in the file one by one, the others in the counts only."""
    table, skipped = atlas.images, atlas.skipped
    here = table.take(pa.array(rows))
    folder = common_folder([*table["uri"].to_pylist(), *skipped["uri"].to_pylist()])
    return {
        "images": {
            "rows": packed(rows, "<i4"),
            "names": [shortened(uri, folder) for uri in here["uri"].to_pylist()],
            "labels": here["label"].to_pylist(),
            "correct": here["correct"].to_pylist(),
            "top": here["top_classes"].to_pylist(),
            "probabilities": [list(map(rounded, found)) for found in here["top_probabilities"].to_pylist()],
        },
        "accuracy": accuracy(table["correct"].to_pylist()),
        "groups": groups(table),
        "skipped": [[shortened(one["uri"], folder), one["reason"]] for one in skipped.to_pylist()],
    }


def rounded(probability: float) -> float | None:
    """Four decimals; None for what is no number."""
    return round(probability, 4) if np.isfinite(probability) else None


def groups(table: pa.Table) -> list[dict[str, Any]]:
    """Per label the number of images, the most frequent predictions, and the accuracy where the label is a class."""
    members: dict[str | None, list[tuple[int, bool | None]]] = {}
    columns = (table[name].to_pylist() for name in ("label", "predicted_class", "correct"))
    for label, predicted, correct in zip(*columns, strict=True):
        members.setdefault(label or None, []).append((predicted, correct))
    return [
        {
            "label": label,
            "count": len(found),
            "frequent": frequent(predicted for predicted, _ in found),
            "accuracy": accuracy([correct for _, correct in found]),
        }
        for label, found in sorted(members.items(), key=lambda item: item[0] or "")
    ]


def frequent(classes: Iterable[int]) -> list[tuple[int, int]]:
    """The most frequent classes with their counts; ties go to the lower class."""
    return sorted(Counter(classes).items(), key=lambda item: (-item[1], item[0]))[:FREQUENT]


def accuracy(correct: Sequence[bool | None]) -> dict[str, Any] | None:
    """How many of the images whose label is a class are right, with Wilson's 95 % interval; None without such."""
    known = [one for one in correct if one is not None]
    if not known:
        return None
    low, high = wilson(sum(known), len(known))
    return {"right": sum(known), "of": len(known), "low": low, "high": high}


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson 1927), for independent draws."""
    rate, spread = right / count, CONFIDENCE**2 / count
    middle = (rate + spread / 2) / (1 + spread)
    half = CONFIDENCE * float(np.sqrt(rate * (1 - rate) / count + spread / (4 * count))) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def common_folder(uris: Sequence[str]) -> str:
    """The folder that all names start with, with its last slash: it need not be said of every one."""
    first, last = min(uris, default=""), max(uris, default="")
    differs = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: first.rfind("/", 0, next(differs, min(len(first), len(last)))) + 1]


def shortened(uri: str, folder: str) -> str:
    """A name without the common folder."""
    return uri.removeprefix(folder)


def pictures(atlas: Atlas, rows: NDArray[np.int64], watch: Watch) -> list[str]:
    """The images as the net saw them, as WebP in base64. Raises BuildStopped."""
    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the coder leaves Python's lock; the order stays
        for picture in pool.map(lambda row: compressed(atlas.pixels(row)), rows.tolist()):
            found.append(picture)
            watch.progress(len(found), len(rows), "pictures")
            if watch.stopped():
                pool.shutdown(cancel_futures=True)
                raise BuildStopped("stopped before the report was written", "nothing was changed")
    return found


def compressed(pixels: NDArray[np.uint8]) -> str:
    """A picture as lossy WebP, in base64."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=QUALITY, method=4)
    return base64.b64encode(stream.getvalue()).decode()
