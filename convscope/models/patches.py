"""The signals of many patches of one layer, by crops where these cost less, else on whole images.

At once run as many crops as `Crops.at_once` says, or one whole image with all of its patches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

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
        done = 0
        for some in self.passes(wanted):
            each = [wanted[number] for number in some]
            known = self.cropped(each, pixels) if self.crops is not None else self.whole(each, pixels)
            for number, (value, signal) in zip(some, known, strict=True):
                one = wanted[number]
                box = self.layer.input_box(one.unit, one.place if self.layer.spatial else None)
                top, left, bottom, right = (int(edge) for edge in box)
                values[number], found[number] = value, signal[:, top:bottom, left:right].clone()
            done += len(some)
            watch.progress(done, len(wanted), "patches")
        return values, found

    def passes(self, wanted: Sequence[Wanted]) -> list[list[int]]:
        """What runs at once, by number."""
        order = sorted(range(len(wanted)), key=lambda number: wanted[number].image)
        if self.crops is not None:
            step = self.crops.at_once()
            return [order[at : at + step] for at in range(0, len(order), step)]
        return [list(some) for _, some in groupby(order, lambda number: wanted[number].image)]

    def cropped(self, some: Sequence[Wanted], pixels: Callable[[int], Tensor]) -> Iterator[tuple[float, Tensor]]:
        """Values and signals 3×H×W, each from the crop that its unit sees."""
        assert self.crops is not None
        images = torch.stack([pixels(one.image) for one in some])
        places, units = [one.place for one in some], [one.unit for one in some]
        values, signals = self.crops.signals(images, places, units, self.rule == "deconvnet")
        return zip(values.tolist(), signals.cpu(), strict=True)

    def whole(self, some: Sequence[Wanted], pixels: Callable[[int], Tensor]) -> Iterator[tuple[float, Tensor]]:
        """Values and signals 3×H×W of patches of one image: one forward, and a backward each."""
        keeps = self.rule == "deconvnet" and self.layer.node is not self.net.graph.scores
        values = list[float]()

        def begin(value: Tensor) -> list[Tensor]:
            starts = [Start(self.layer, one.unit, one.place if value.ndim == 4 else None) for one in some]
            values.extend(float(value[0][start.cells]) for start in starts)
            return [start.sent(value[0], keeps)[None] for start in starts]

        for number, signal in enumerate(self.backward.signals(pixels(some[0].image)[None], begin)):
            yield values[number], signal[0].cpu()
