"""What a technique is asked about: classes by index, name, WordNet id or address."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import BadAddress
from convscope.models.address import OUTPUT, Address
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
