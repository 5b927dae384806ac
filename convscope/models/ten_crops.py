"""Saliency as the mean over ten crops of an enlarged image, as networks of 2014 were tested.

Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, section 3 (arXiv:1312.6034).
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.models.backward import Backward
from convscope.models.net import Net
from convscope.models.starts import Start, by_layer
from convscope.watch import SILENT, Watch

ENLARGED = 8 / 7  # of the input's sides, from which ten crops are taken: 256 px of 224


def mean_over_crops(
    net: Net, pixels: Tensor, asked: Sequence[Start], found: Sequence[Start], *, watch: Watch = SILENT
) -> Tensor:
    """The mean of the maps of ten crops of the enlarged image, each where it lies, brought back to the input's size.

    Corners and centre, and the same mirrored. asked: the starts as they were named, found: as they are on the image
    itself. A unit without a place starts at its strongest place in each crop; a place that was named stays.
    """
    height, width = pixels.shape[2:]
    tall, wide = round(height * ENLARGED), round(width * ENLARGED)
    large = F.interpolate(pixels, (tall, wide), mode="bicubic", align_corners=False).clamp(0, 1)
    bottom, right = tall - height, wide - width
    corners = ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2))
    crops = [(top, left, mirrored) for top, left in corners for mirrored in (False, True)]
    starts = [replace(one, place=named.place) for one, named in zip(found, asked, strict=True)]
    total, count = torch.zeros(len(starts), tall, wide), torch.zeros(tall, wide)
    for top, left, _ in crops:
        count[top : top + height, left : left + width] += 1
    layers, done = by_layer(starts), 0
    for layer, numbers in layers.items():
        backward = Backward(net, layer)
        for top, left, mirrored in crops:
            crop = large[:, :, top : top + height, left : left + width]
            given = crop.flip(3) if mirrored else crop
            for number, signal in zip(numbers, backward.sent(given, [starts[one] for one in numbers]), strict=True):
                arrived = signal.pixels.abs().amax(0)
                own = total[number, top : top + height, left : left + width]
                own += arrived.flip(1) if mirrored else arrived
            done += 1
            watch.progress(done, len(crops) * len(layers), "crops")
        del backward  # before the next layer's weights are folded
    mean: Tensor = total / count.clamp_min(1)
    return F.interpolate(mean[None], (height, width), mode="area")[0]
