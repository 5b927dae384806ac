"""The whole network at a glance: dead units, sparsity and locality through depth.

CS231n: activations «usually start out looking relatively blobby and dense, but as the training progresses …
become more sparse and localized»; maps that are zero for many inputs «can indicate dead filters, and can be a symptom
of high learning rates».
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convscope.store.opened import AtlasStore
from convscope.studies.vitals import Vitals, means_silence, vitals
from convscope.technique import Result, checked

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Health(Result):
    """Numbers for each followed layer, in the order of computation; -1 and NaN where they have no meaning."""

    net: str
    images: int
    sample: int  # images that the numbers from fraction_zero on rest on
    layers: tuple[str, ...]
    units: NDArray[np.int64]
    dead: NDArray[np.int64]  # never above 0 on all images
    rarely_active: NDArray[np.int64]  # above 0 on fewer than 1 % of them
    gradient_dead: NDArray[np.int64]  # no gradient of the scores reaches them
    gradient_sample: int  # images
    fraction_zero: Numbers
    hoyer: Numbers
    treves_rolls: Numbers
    radius: Numbers  # share of the half diagonal of the map: 0 a point, about 0.58 even
    half_area: Numbers  # share of places above half of a map's maximum
    accuracy: float  # of the images whose label is a class; NaN where there is none
    labelled: int  # how many these are
    spatial: NDArray[np.bool_] = field(repr=False)

    def lines(self) -> list[list[str]]:
        """A layer a line."""
        names = ["layer", "units", "dead", "rarely active", "no gradient", "zeros", "Hoyer", "radius"]
        rows = []
        for at, layer in enumerate(self.layers):
            counts = [str(n[at]) if n[at] >= 0 else "–" for n in (self.dead, self.rarely_active, self.gradient_dead)]
            shares = [f"{100 * self.fraction_zero[at]:.1f} %", f"{self.hoyer[at]:.2f}", f"{self.radius[at]:.2f}"]
            rows.append([layer, str(self.units[at]), *counts, *shares])
        return [names, *rows]


@checked
def health(store: AtlasStore) -> Health:
    """Dead units, sparsity and locality of every followed layer, and accuracy where labels are classes."""
    found = [vitals(store, name) for name in store.followed]
    silent = np.array([means_silence(store, one.layer) for one in found])
    correct = [value for value in store.images["correct"].to_pylist() if value is not None]
    return Health(
        net=store.manifest["net"]["name"],
        images=len(store.images),
        sample=found[0].sample if found else 0,
        layers=tuple(one.layer for one in found),
        units=np.array([len(one.maximum) for one in found], np.int64),
        dead=np.where(silent, [int(one.dead.sum()) for one in found], -1),
        rarely_active=np.where(silent, [int(one.rarely_active.sum()) for one in found], -1),
        gradient_dead=np.array([int(one.gradient_dead.sum()) for one in found], np.int64),
        gradient_sample=found[0].gradient_sample if found else 0,
        fraction_zero=np.array([one.fraction_zero for one in found]),
        hoyer=np.array([one.hoyer for one in found]),
        treves_rolls=np.array([one.treves_rolls for one in found]),
        radius=np.array([relative_radius(store, one) for one in found]),
        half_area=np.array([mean_of(one.half_area) if is_map(store, one.layer) else np.nan for one in found]),
        accuracy=sum(correct) / len(correct) if correct else float("nan"),
        labelled=len(correct),
        spatial=np.array([is_map(store, one.layer) for one in found]),
    )


def is_map(store: AtlasStore, layer: str) -> bool:
    """Whether a layer has more than one place."""
    shape = store.layers[layer]["shape"]
    return len(shape) == 3 and shape[1] * shape[2] > 1


def relative_radius(store: AtlasStore, one: Vitals) -> float:
    """The mean radius of a layer's maps as a share of the distance from the map's centre to its corner."""
    if not is_map(store, one.layer):
        return float("nan")
    _, rows, columns = store.layers[one.layer]["shape"]
    return mean_of(one.radius) / (float(np.hypot(rows, columns)) / 2)


def mean_of(values: NDArray[np.float32]) -> float:
    """The mean of those that are numbers; NaN if none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
