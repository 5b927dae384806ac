"""How alive each unit of a layer is: dead units and their kinds, how often and how strongly the others fire.

Hu et al. 2016, Network trimming (arXiv:1607.03250); the bound on a rate that was never seen is the rule of three.
"""

import re
import shlex
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.errors import UnknownLayer
from convscope.models.layers import SMOOTH
from convscope.store.opened import AtlasStore
from convscope.studies.exemplars import find_layer
from convscope.technique import Result, checked

RARE = 0.01  # of the images: a unit that fewer excite is rarely active

Numbers = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Vitals(Result):
    """Numbers for each unit of a layer, in the order of the units. NaN where nothing can be said."""

    layer: str
    net: str
    images: int  # N, for what follows up to `lifetime`
    maximum: Numbers = field(repr=False)  # the greatest activation
    mean: Numbers = field(repr=False)  # of the greatest activation in each image
    deviation: Numbers = field(repr=False)  # standard deviation of the same
    active_images: Numbers = field(repr=False)  # share of the images in which it rises above 0
    lifetime: Numbers = field(repr=False)  # Treves-Rolls over images: 1 excited by all alike, 1/N by one alone
    dead: Flags = field(repr=False)  # never above 0 on the N images
    dead_bound: float  # a dead unit fires on fewer than this share of such images (95 % confidence)
    rarely_active: Flags = field(repr=False)  # above 0 on fewer than 1 % of the images, but on some
    sample: int  # images, for what follows
    active_places: Numbers = field(repr=False)  # share of places above 0
    mean_places: Numbers = field(repr=False)  # mean over all places
    std_places: Numbers = field(repr=False)  # standard deviation over all places
    radius: Numbers = field(repr=False)  # cells: how far from its centre a map's activation lies (root mean square)
    half_area: Numbers = field(repr=False)  # share of places above half of the map's maximum
    gradient: Numbers = field(repr=False)  # the greatest gradient of the scores that reaches the unit
    gradient_dead: Flags = field(repr=False)  # none reaches it: its weights would never change
    gradient_sample: int  # images, for the gradients
    histogram: NDArray[np.int32] = field(repr=False)  # (units, 64) how many images by the greatest activation
    edges: NDArray[np.float64] = field(repr=False)  # (units, 65) the borders of the bins
    fraction_zero: float  # of all activations of the layer, mean over the sample
    hoyer: float  # sparsity of the layer's activations: 0 all alike, 1 a single one
    treves_rolls: float  # the same as a density: 1 all alike, towards 0 the sparser

    def lines(self) -> list[list[str]]:
        """A unit a line."""
        names = ["unit", "maximum", "mean", "active images", "active places", "radius (cells)", "state"]
        rows = []
        for unit in range(len(self.maximum)):
            shares = [f"{100 * share[unit]:.1f} %" for share in (self.active_images, self.active_places)]
            numbers = [f"{self.maximum[unit]:.4g}", f"{self.mean[unit]:.4g}", *shares, f"{self.radius[unit]:.2f}"]
            rows.append([str(unit), *numbers, self.state(unit)])
        return [names, *rows]

    def state(self, unit: int) -> str:
        """In words: dead, no gradient, rarely active, or nothing special."""
        words = [
            name
            for name, flags in (("dead", self.dead), ("no gradient", self.gradient_dead), ("rare", self.rarely_active))
            if flags[unit]
        ]
        return ", ".join(words)


@checked
def vitals(store: AtlasStore, layer: str) -> Vitals:
    """How alive the units of a layer are: maxima, how often they fire, dead and gradient-dead units, sparsity.

    Raises UnknownLayer, BadAddress.
    """
    record = find_layer(store, layer)
    name = record["name"]
    images = len(store.images)
    silences = means_silence(store, name)
    numbers = {part: np.asarray(store.of_layer(name, f"vitals/{part}")) for part in ("maximum", "mean", "deviation")}
    active, gradient = (
        np.asarray(store.of_layer(name, part)) for part in ("vitals/active_images", "gradients/gradient")
    )
    places = ("active_places", "mean_places", "std_places", "radius", "half_area")
    exponents = np.asarray(store.of_layer(name, "vitals/exponents"))
    histogram = np.asarray(store.of_layer(name, "vitals/histogram"))
    position = list(store.followed).index(name)
    layers = {part: float(store.array(f"places/layer_{part}")[position]) for part in ("zero", "hoyer", "treves_rolls")}
    return Vitals(
        layer=name,
        net=store.manifest["net"]["name"],
        images=images,
        **numbers,
        active_images=active,
        lifetime=np.asarray(store.of_layer(name, "vitals/lifetime")),
        dead=(active == 0) & silences,
        dead_bound=min(3 / images, 1.0),
        rarely_active=(active > 0) & (active < RARE) & silences,
        sample=int(store.array("places/images")[0]),
        **{part: np.asarray(store.of_layer(name, f"places/{part}")) for part in places},
        gradient=gradient,
        gradient_dead=gradient == 0,
        gradient_sample=int(store.array("gradients/images")[0]),
        histogram=histogram,
        edges=np.ldexp(np.linspace(-1, 1, histogram.shape[1] + 1)[None], exponents[:, None].astype(np.int32)),
        fraction_zero=layers["zero"],
        hoyer=layers["hoyer"],
        treves_rolls=layers["treves_rolls"],
    )


def means_silence(store: AtlasStore, name: str) -> bool:
    """Whether a unit of a layer that never rises above 0 does nothing: behind a rectifier or the like."""
    record: Any = store.layers[name]
    return bool(record["rectified"] or record["kind"] in SMOOTH) and name != store.manifest["net"]["output"]


def kept_codes(store: AtlasStore, layer: str) -> NDArray[np.float16]:
    """(N, D) the codes of a layer by any of its names, or of max(layer), flat(layer); UnknownLayer without any."""
    name, kept = code_name(store, layer), store.code_names
    if name not in kept:
        raise UnknownLayer(
            f"the atlas keeps no codes of {layer!r}",
            f"it keeps {', '.join(kept)}; `convscope codes ATLAS --layer {shlex.quote(layer)}` adds others",
        )
    return store.codes(name)


def code_name(store: AtlasStore, layer: str | None) -> str:
    """The name under which codes are kept, whatever a layer is called; None: those that enter the classifier."""
    if layer is None:
        return store.code_names[0]
    way, inner = code_way(layer)
    record = store.layers.get(inner)
    name = inner if record is None else str(record["name"])
    flat = record is not None and len(record["shape"]) == 1  # a vector has no places to put together
    return name if way == "mean" or flat else f"{way}({name})"


def code_way(text: str) -> tuple[str, str]:
    """How places are put together, and the layer: "max(a.b)" is ("max", "a.b"), "a.b" is ("mean", "a.b")."""
    found = re.fullmatch(r"(max|flat)\((.+)\)", text)
    return (found[1], found[2]) if found else ("mean", text)
