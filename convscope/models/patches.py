"""The signals of many patches of one layer, by crops where these cost less, else on whole images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.arrays import Place
from convscope.models.backward import Backward, Rule
from convscope.models.cropping import Crops
from convscope.models.layers import Layer
from convscope.models.net import Net
from convscope.models.starts import Start
from convscope.watch import SILENT, Watch

AT_ONCE = 36  # crops in one pass
ROOM = 4e8  # bytes: of the pixels and signals of one pass, so that large images come fewer at once


@dataclass(frozen=True)
class Wanted:
    """A unit at a place of an image, which is known by its number."""

    image: int
    unit: int
    place: Place


class Patches:
    """A net prepared to send signals of a layer's units back from many patches. NoRule."""

    def __init__(self, net: Net, layer: Layer, rule: Rule) -> None:
        self.net, self.layer, self.rule = net, layer, rule
        self.backward = Backward(net, layer, rule)
        crops = Crops(self.backward)
        self.crops = crops if crops.possible and crops.pays() else None

    def signals(
        self, wanted: Sequence[Wanted], pixels: Callable[[int], Tensor], watch: Watch = SILENT
    ) -> tuple[NDArray[np.float32], list[Tensor]]:
        """The value of each patch's unit (N,), and its signal 3×h×w within `net.input_box`, in the order asked.

        pixels: the number of an image → 3×H×W in [0, 1]. A deconvnet's signals begin with the value, others with 1.
        """
        values, found = np.zeros(len(wanted), np.float32), [torch.empty(0)] * len(wanted)
        order = sorted(range(len(wanted)), key=lambda number: wanted[number].image)
        size = 4 * 3 * self.net.size[0] * self.net.size[1]
        step = AT_ONCE if self.crops is None else max(1, min(AT_ONCE, int(ROOM / (3 * size))))
        for at in range(0, len(order), step):
            some = order[at : at + step]
            each = [wanted[number] for number in some]
            known, signals = self.cropped(each, pixels) if self.crops is not None else self.whole(each, pixels)
            for number, value, signal in zip(some, known, signals, strict=True):
                one = wanted[number]
                box = self.layer.input_box(one.unit, one.place if self.layer.spatial else None)
                top, left, bottom, right = (int(edge) for edge in box)
                values[number], found[number] = value, signal[:, top:bottom, left:right].clone()
            watch.progress(min(at + step, len(order)), len(order), "patches")
        return values, found

    def cropped(self, some: Sequence[Wanted], pixels: Callable[[int], Tensor]) -> tuple[list[float], list[Tensor]]:
        """Values and signals, each from the crop that its unit sees."""
        assert self.crops is not None
        images = torch.stack([pixels(one.image) for one in some])
        places, units = [one.place for one in some], [one.unit for one in some]
        values, signals = self.crops.signals(images, places, units, self.rule == "deconvnet")
        return values.tolist(), list(signals.cpu())

    def whole(self, some: Sequence[Wanted], pixels: Callable[[int], Tensor]) -> tuple[list[float], list[Tensor]]:
        """Values and signals on whole images: one forward for all patches of an image."""
        values, signals = list[float](), list[Tensor]()
        keeps = self.rule == "deconvnet" and self.layer.node is not self.net.graph.scores
        for image in dict.fromkeys(one.image for one in some):
            own = [one for one in some if one.image == image]

            def begin(value: Tensor, own: Sequence[Wanted] = own) -> list[Tensor]:
                starts = [Start(self.layer, one.unit, one.place if value.ndim == 4 else None) for one in own]
                values.extend(float(value[0][start.cells]) for start in starts)
                return [start.sent(value[0], keeps)[None] for start in starts]

            signals.extend(signal[0].cpu() for signal in self.backward.signals(pixels(image)[None], begin))
        return values, signals
