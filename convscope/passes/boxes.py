"""What the places of strongest activations can see, for many units at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.models.net import Net
from convscope.models.receptive import Interval
from convscope.passes.fold import Units


def boxes_of(net: Net, units: Units, places: NDArray[np.int16], mixed: bool = False) -> NDArray[np.int16]:
    """(U, k, 4) top, left, bottom, right in px of the net's input: what each place can see.

    mixed: the units are directions, which see whatever any unit of their layer sees.
    """
    found = [np.zeros((0, places.shape[1], 4), np.int64)]
    for layer in units.layers:
        view = net.layer(layer.name).view
        here = places[units.slices[layer.name]].astype(np.int64)
        index = {
            "N": np.zeros_like(here[..., 0]),
            "C": np.broadcast_to(np.arange(layer.units)[:, None], here.shape[:2]),
        }
        index |= {"H": here[..., 0], "W": here[..., 1]}
        axes = view.axes or ("N", "C")
        ends = [looked_up(interval, axes, index, mixed) for interval in (view.rows, view.columns)]
        found.append(np.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], axis=-1))
    return np.concatenate(found).astype(np.int16)


def looked_up(interval: Interval, axes: Sequence[str], index: dict[str, Any], mixed: bool) -> tuple[Any, Any]:
    """Both ends of an interval at many cells at once."""
    first, stop = interval.first, interval.stop
    if mixed and "C" in axes:
        units = list(axes).index("C")
        first, stop = first.min(axis=units, keepdims=True), stop.max(axis=units, keepdims=True)
    cells = tuple(index[name] if first.shape[axis] > 1 else np.zeros_like(index["N"]) for axis, name in enumerate(axes))
    return first[cells], stop[cells]
