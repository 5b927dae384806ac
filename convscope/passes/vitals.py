"""How alive each unit is on all images: greatest and mean maximum, share of images that excite it, histogram.

Hu et al. 2016, Network trimming (arXiv:1607.03250) for rates of zeros; Treves & Rolls 1991 for lifetime sparsity.
"""

from typing import Any

import numpy as np

from convscope.passes.fold import Batch, Fold, Followed, State, Units
from convscope.passes.histogram import BINS, LOWEST, count, exponents_of, widen


class Vitals(Fold):
    """Statistics per unit over its greatest activation in each image; every file counts, equal contents too."""

    name = "vitals"

    def __init__(self, layers: tuple[Followed, ...]) -> None:
        self.units = Units(layers)

    def describe(self) -> dict[str, Any]:
        """The number of bins."""
        return {"bins": BINS}

    def none(self) -> State:
        """No image yet."""
        count = self.units.count
        return {
            "images": np.zeros(1, np.int64),
            "maximum": np.full(count, -np.inf, np.float32),
            "sum": np.zeros(count),
            "squares": np.zeros(count),
            "active": np.zeros(count, np.int64),
            "histogram": np.zeros((count, BINS), np.int32),
            "exponents": np.full(count, LOWEST, np.int16),
        }

    def add(self, state: State, batch: Batch) -> None:
        """One greatest activation per unit and image."""
        values = batch_values(self.units, batch)
        exact = values.astype(np.float64)
        state["images"] = state["images"] + len(batch)
        np.maximum(state["maximum"], values.max(axis=0), out=state["maximum"])
        state["sum"] += exact.sum(axis=0)
        state["squares"] += np.einsum("nu,nu->u", exact, exact)
        state["active"] += (values > 0).sum(axis=0)
        wanted = np.maximum(state["exponents"], exponents_of(values))
        widen(state["histogram"], state["exponents"], wanted)
        count(state["histogram"], wanted, values)

    def merge(self, one: State, other: State) -> State:
        """Counts and sums added, histograms in the wider of their ranges."""
        found = {name: one[name] + other[name] for name in ("images", "sum", "squares", "active")}
        wanted = np.maximum(one["exponents"], other["exponents"])
        both = [(state["histogram"].copy(), state["exponents"].copy()) for state in (one, other)]
        for histogram, exponents in both:
            widen(histogram, exponents, wanted)
        found["histogram"] = both[0][0] + both[1][0]
        return {**found, "maximum": np.maximum(one["maximum"], other["maximum"]), "exponents": wanted}

    def finish(self, state: State) -> State:
        """maximum, mean, std (of the maxima), active_images (share), lifetime (Treves-Rolls; 1: all images alike)."""
        images = max(int(state["images"][0]), 1)
        mean, square = state["sum"] / images, state["squares"] / images
        with np.errstate(invalid="ignore", divide="ignore"):
            lifetime = np.where(square > 0, mean**2 / square, np.nan)
        return {
            "maximum": state["maximum"],
            "mean": mean.astype(np.float32),
            "deviation": np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32),
            "active_images": (state["active"] / images).astype(np.float32),
            "lifetime": lifetime.astype(np.float32),
            "histogram": state["histogram"],
            "exponents": state["exponents"],
        }


def batch_values(units: Units, batch: Batch) -> Any:
    """(n, U) the greatest activations of a batch: the drives, cut off at their ceilings."""
    parts = [np.minimum(batch.peaks[layer.name], np.float32(layer.ceiling)) for layer in units.layers]
    found = np.concatenate([np.zeros((len(batch), 0), np.float32), *parts], axis=1)
    return np.nan_to_num(found, nan=0, posinf=float(np.finfo(np.float32).max), neginf=0)
