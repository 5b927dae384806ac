"""What the predictions come to: accuracy with its interval, and what is predicted for each label."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

FREQUENT = 3  # predictions that are named for a label
CONFIDENCE = 1.959963984540054  # normal quantile of a 95 % interval


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
