"""What a technique is asked about: classes by index, name, WordNet id or address."""

from collections.abc import Sequence

from convscope.errors import BadAddress
from convscope.models.address import OUTPUT, Address
from convscope.models.net import Net

Single = int | str | Address
Target = Single | Sequence[Single] | None  # None: the most probable class


def target_classes(net: Net, target: Target) -> tuple[int, ...] | None:
    """The classes of a target in their order; None where it is to be the most probable one. BadAddress."""
    if target is None:
        return None
    if isinstance(target, int | str | Address):
        return (target_class(net, target),)
    if not target:
        raise BadAddress("the list of targets is empty", "name at least one class, or leave target out")
    return tuple(target_class(net, one) for one in target)


def target_class(net: Net, target: Single) -> int:
    """One class: 259, "259", "Pomeranian", "n02112018", "class:pomeranian". BadAddress for anything else."""
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
