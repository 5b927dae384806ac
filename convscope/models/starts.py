"""Where a signal starts: a class's score, one place of a unit's map, or the whole of a layer's strongest map."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convscope.arrays import Place
from convscope.errors import BadAddress, UnreadableImage
from convscope.models.address import OUTPUT, Address
from convscope.models.layers import Layer
from convscope.models.net import Net
from convscope.models.prepared import ImageLike, Prepared
from convscope.models.targets import Target, is_several, plain, target_class


@dataclass(frozen=True)
class Start:
    """A layer, perhaps a unit of it, perhaps a place; what is not said is found on the image."""

    layer: Layer
    unit: int | None = None  # None: the one with the greatest sum over its map
    place: Place | None = None  # None: of a unit the strongest place; without a unit the whole map
    whole: bool = False  # the whole map of the unit that was found

    def found(self, value: Tensor) -> "Start":
        """With unit and place as they are on an image; value: of the layer, C×H×W or C."""
        if self.unit is None:
            return replace(self, unit=int(value.reshape(len(value), -1).sum(1).argmax()), whole=self.place is None)
        if self.place is None and value.ndim == 3 and not self.whole:
            return replace(self, place=Place(*divmod(int(value[self.unit].argmax()), value.shape[2])))
        return self

    def sent(self, value: Tensor, keeps: bool) -> Tensor:
        """What is sent back from a layer's value, of its shape: the unit's own if `keeps`, else 1; 0 elsewhere."""
        signal = torch.zeros_like(value)
        signal[self.cells] = value[self.cells] if keeps else 1
        return signal

    @property
    def cells(self) -> tuple[int | None, ...]:
        """Which of a layer's values C×H×W or C it is, once unit and place are found."""
        return (self.unit,) if self.place is None else (self.unit, *self.place)

    @property
    def address(self) -> str:
        """layer:unit@row,column, as far as it is known."""
        return str(Address(self.layer.name, self.unit, self.place))


def begin(net: Net, image: ImageLike, target: Target) -> tuple[Prepared, list[Start]]:
    """The image as the net sees it, and where signals start. UnreadableImage where scores are no numbers."""
    prepared = net.prepare(image)
    with torch.no_grad():
        scores = net.scores(prepared.pixels)[0] if target is None else None
    if scores is not None:
        check_finite("the scores of this image are", scores)
    return prepared, find_starts(net, target, scores)


def check_finite(what: str, values: Tensor) -> None:
    """UnreadableImage where values are NaN or infinite; what: "the scores of this image are" or the like."""
    if not bool(values.isfinite().all()):
        raise UnreadableImage(f"{what} not finite", "check the network's weights, mean and std")


def find_starts(net: Net, target: Target, scores: Tensor | None = None) -> list[Start]:
    """The starts that a target names, in order. BadAddress, UnknownLayer.

    A class by index or name, "layer:unit" its strongest place, "layer:unit@row,column", "layer" the strongest map of
    it, whole; None the most probable class of the scores (K,).
    """
    if target is None:
        assert scores is not None
        return [Start(net.output_layer, int(scores.argmax()))]
    several = plain(target)
    found = several if is_several(target) else [several]
    if not found:
        raise BadAddress("the list of targets is empty", "name at least one class or unit, or leave target out")
    return [find_start(net, one) for one in found]


def find_start(net: Net, target: object) -> Start:
    """The start that one target names."""
    names = {layer.name for layer in net.layers}
    if isinstance(target, str | Address):
        address = Address.parse(target) if isinstance(target, Address) or ":" in target else None
        if address is None and target in names and not str(target).isdecimal():  # "5" is a class, as in occlusion
            address = Address(str(target))
        if address is not None and address.layer != OUTPUT:
            layer, unit, place = net.locate(address)
            if layer.node is not net.graph.scores:
                return Start(layer, unit, place if layer.spatial else None)
            if unit is None:
                raise BadAddress(f"{target} is the output", 'name one of its classes: 259, "pomeranian", "class:259"')
            if place is None:
                target = unit
    return Start(net.output_layer, target_class(net, target))


def address_of(net: Net, start: Start) -> str:
    """ "class:259" of a class, else layer:unit@row,column."""
    return f"{OUTPUT}:{start.unit}" if start.layer.node is net.graph.scores else start.address


def title_of(net: Net, start: Start) -> str:
    """The class, or the unit and where it is."""
    if start.layer.node is net.graph.scores and start.unit is not None:
        return net.class_name(start.unit)
    place = f" at row {start.place.row}, column {start.place.column}" if start.place else ""
    whole = ", its whole map" if start.place is None and start.layer.spatial else ""
    return f"{start.layer.name}, unit {start.unit}{place}{whole}"


def by_layer(starts: Sequence[Start]) -> dict[Layer, list[int]]:
    """The starts of each layer, by their number."""
    found: dict[Layer, list[int]] = {}
    for number, start in enumerate(starts):
        key = next((layer for layer in found if layer.node is start.layer.node), start.layer)
        found.setdefault(key, []).append(number)
    return found
