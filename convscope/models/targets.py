"""What a technique is asked about: classes by index, name, WordNet id or address; units by address."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import BadAddress, BadOption
from convscope.models.address import OUTPUT, Address
from convscope.models.layers import Layer
from convscope.models.net import Net

Single = int | str | Address | np.integer[Any]
Target = Single | Sequence[Single] | NDArray[np.integer[Any]] | Tensor | None  # None: the most probable class


def target_classes(net: Net, target: Target) -> tuple[int, ...] | None:
    """The classes of a target in their order; None where it is to be the most probable one. BadAddress."""
    if target is None:
        return None
    found = plain(target)
    if not isinstance(found, list | tuple):
        return (target_class(net, found),)
    if not found:
        raise BadAddress("the list of targets is empty", "name at least one class, or leave target out")
    return tuple(target_class(net, one) for one in found)


def is_several(target: Target) -> bool:
    """Whether a target is a list, so that results have an axis of targets."""
    return isinstance(plain(target), list | tuple)


def plain(target: Any) -> Any:
    """NumPy's and torch's numbers and vectors as Python's own."""
    return target.tolist() if isinstance(target, np.ndarray | np.generic | Tensor) else target


def target_class(net: Net, target: Any) -> int:
    """One class: 259, "259", "Pomeranian", "n02112018", "class:pomeranian". BadAddress for anything else."""
    target = plain(target)
    if isinstance(target, bool) or not isinstance(target, int | str | Address):
        raise BadAddress(f"{target!r} is no class", 'name one by index or name: 259, "pomeranian", "class:259"')
    if isinstance(target, int):
        text: str | Address = f"{OUTPUT}:{target}"
        if target < 0:
            raise BadAddress(f"{target} is no class", f"classes count from 0 to {net.classes - 1}")
    elif isinstance(target, str) and ":" not in target:
        text = f"{OUTPUT}:{target}"
    else:
        text = target
    layer, unit, place = net.locate(text)
    if layer.node is not net.output_layer.node or unit is None or place is not None:
        raise BadAddress(f"{target} is no class", 'name one by index or name: 259, "pomeranian", "class:259"')
    return unit


def followed_units(
    net: Net, pixels: Float[Tensor, "1 3 height width"], layer: str | None, strongest: str, units: Sequence[str]
) -> tuple[str, dict[str, tuple[Layer, int]]]:
    """The strongest unit of a layer on the clean image ("" without maps); address → layer and unit of it and others."""
    best, found = "", dict[str, tuple[Layer, int]]()
    maps = [name for name in net.suggested_layers if net.layer(name).spatial]
    chosen = layer or (maps[-1] if maps else None)
    if chosen is not None:
        with torch.no_grad():
            values = net.outputs(pixels, [chosen])[chosen][0].flatten(1) if net.layer(chosen).spatial else None
        if values is None:
            raise BadOption(f"{chosen} has no maps", f"layers with maps are for instance {', '.join(maps)}")
        unit = int((values.sum(1) if strongest == "sum" else values.amax(1)).argmax())
        best = f"{chosen}:{unit}"
        found[best] = (net.layer(chosen), unit)
    for address in units:
        one, number, place = net.locate(address)
        if number is None or place is not None:
            raise BadAddress(f"{address!r} is no unit", 'a unit is followed over its whole map: "features.3:17"')
        found[str(address)] = (one, number)
    return best, found
