"""How activations lie over the places of a map: shares, spread, sparsity and locality, on a sample of images.

These read every value of every map, which costs more than the network itself; hence the sample.
Hoyer 2004 for his sparsity measure; Treves & Rolls 1991; Hu et al. 2016 (arXiv:1607.03250) for the share of zeros.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convscope.passes.fold import Batch, Fold, Followed, State, Units

LARGEST_SAMPLE = 2000  # images
SUMS = ("active", "sum", "squares", "fires", "radius", "wide")
LAYER_SUMS = ("zero", "hoyer", "treves_rolls", "shown")


def sample_size(images: int) -> int:
    """One in 64 of the images, at least 128 and at most 2,000: enough for shares, and soon read."""
    return min(max(images // 64, 128), LARGEST_SAMPLE)


class Places(Fold):
    """Per unit sums over all places of the sample's images; per layer sparsity of the whole vector of activations."""

    name = "places"

    def __init__(self, layers: tuple[Followed, ...], sample: int) -> None:
        self.units = Units(layers)
        self.layers = tuple(layer.name for layer in layers)
        self.sample = sample
        self.index = {layer.name: position for position, layer in enumerate(layers)}

    def describe(self) -> dict[str, Any]:
        """The size of the sample."""
        return {"sample": self.sample}

    def none(self) -> State:
        """No image yet."""
        units = {name: np.zeros(self.units.count) for name in SUMS}
        layers = {f"layer_{name}": np.zeros(len(self.layers)) for name in LAYER_SUMS}
        return {"images": np.zeros(1, np.int64), **units, **layers}

    def see(self, state: State, batch: Batch, layer: str, output: Tensor) -> None:
        """Adds the maps of the sample's images."""
        images = np.flatnonzero(batch.ranks < self.sample).tolist()
        if not images:
            return
        maps = output[images].float()
        maps = maps.permute(0, 2, 3, 1).contiguous() if maps.ndim == 4 else maps[:, None, None]  # N×H×W×C
        part, position = self.units.slices[layer], self.index[layer]
        sums = unit_sums(maps, self.units.layers[position].rectified)
        for name in SUMS:
            state[name][part] += sums[name].sum(0).cpu().numpy()
        for name, number in layer_sums(sums, maps.shape[1] * maps.shape[2]).items():
            state[f"layer_{name}"][position] += number

    def add(self, state: State, batch: Batch) -> None:
        """How many images of the sample were seen."""
        state["images"] = state["images"] + int((batch.ranks < self.sample).sum())

    def merge(self, one: State, other: State) -> State:
        """All sums added."""
        return {name: one[name] + other[name] for name in one}

    def finish(self, state: State) -> State:
        """Per unit active_places, mean_places, std_places, radius (cells), half_area; per layer layer_…

        active_places: the share of places above 0. radius: the root mean square distance of a map's activation from
        its centre of mass. half_area: the share of places above half of the map's maximum. Both are means over the
        images that excite the unit (NaN where none does). layer_zero, layer_hoyer (0 even … 1 one value),
        layer_treves_rolls (1 even … 0 sparse): means over the images.
        """
        places = np.concatenate([np.zeros(0), *(np.full(one.units, area(one)) for one in self.units.layers)])
        count = np.maximum(places * max(int(state["images"][0]), 1), 1)
        mean = state["sum"] / count
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {
                "active_places": state["active"] / count,
                "mean_places": mean,
                "std_places": np.sqrt(np.maximum(state["squares"] / count - mean**2, 0)),
                "radius": state["radius"] / state["fires"],
                "half_area": state["wide"] / state["fires"],
            }
            seen = np.maximum(int(state["images"][0]), 1)
            layers = {
                "layer_zero": state["layer_zero"] / seen,
                "layer_hoyer": state["layer_hoyer"] / state["layer_shown"],
                "layer_treves_rolls": state["layer_treves_rolls"] / state["layer_shown"],
            }
        return {name: array.astype(np.float32) for name, array in (found | layers).items()} | {
            "images": state["images"]
        }


def area(layer: Followed) -> int:
    """How many places a map has; 1 for a vector."""
    return layer.places[0] * layer.places[1] if layer.places else 1


def unit_sums(maps: Tensor, rectified: bool) -> dict[str, Tensor]:
    """N×H×W×C → name → (N, C) float64. As few passes over the maps as possible: this is what a build's time goes to."""
    area = maps.shape[1] * maps.shape[2]
    flat = maps.flatten(1, 2)
    sizes = maps if rectified else maps.clamp(min=0)
    peak = sizes.amax((1, 2))
    fires = peak > 0
    by_row, by_column = sizes.sum(2).double(), sizes.sum(1).double()  # N×H×C and N×W×C: exact for a lone activation
    mass = by_row.sum(1)
    variance = spread(by_row, mass) + spread(by_column, mass)
    active, wide = count(flat > 0), count(flat > peak[:, None] / 2) / area
    return {
        "active": active,
        "zero": area - active if rectified else count(flat == 0),
        "sum": mass if rectified else flat.sum(1).double(),
        "size": mass if rectified else flat.abs().sum(1).double(),
        "squares": torch.linalg.vector_norm(flat, dim=1).double() ** 2,
        "fires": fires.double(),
        "radius": variance.sqrt() * fires,
        "wide": wide * fires,
    }


def count(true: Tensor) -> Tensor:
    """N×places×C → N×C how many are true; as bytes they are added nearly twice as fast."""
    return true.view(torch.uint8).sum(1, dtype=torch.int32).double()


def spread(line: Tensor, mass: Tensor) -> Tensor:
    """N×length×C sums along an axis, and their sum N×C → N×C the variance of the position on that axis."""
    cells = torch.arange(line.shape[1], dtype=torch.float64, device=line.device)[None, :, None]
    centre = (line * cells).sum(1) / mass.clamp(min=1e-300)
    return (line * (cells - centre[:, None]) ** 2).sum(1) / mass.clamp(min=1e-300)


def layer_sums(sums: dict[str, Tensor], places: int) -> dict[str, float]:
    """Sums over the images of the sparsity of each image's whole vector of n activations.

    Hoyer: (√n - l1/l2) / (√n - 1). Treves-Rolls: (mean |a|)² / mean a². Images without any activation are left out.
    """
    count = sums["sum"].shape[1] * places
    first, second = sums["size"].sum(1), sums["squares"].sum(1).sqrt()
    shown = second > 0
    first, second = first[shown], second[shown]
    root = count**0.5
    hoyer = (root - first / second) / (root - 1) if count > 1 else torch.zeros_like(first)
    return {
        "zero": float((sums["zero"].sum(1) / count).sum()),
        "hoyer": float(hoyer.sum()),
        "treves_rolls": float(((first / count) ** 2 / (second**2 / count)).sum()),
        "shown": float(shown.sum()),
    }
