"""Saliency as the mean over ten crops of an enlarged image, as networks of 2014 were tested.

Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, section 3 (arXiv:1312.6034).
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.models.backward import send_back
from convscope.models.net import Net
from convscope.models.starts import Start

ENLARGED = 8 / 7  # of the input's sides, from which ten crops are taken: 256 px of 224


def mean_over_crops(net: Net, pixels: Tensor, asked: Sequence[Start], found: Sequence[Start]) -> Tensor:
    """The mean of the maps of ten crops of the enlarged image, each where it lies, brought back to the input's size.

    Corners and centre, and the same mirrored. asked: the starts as they were named, found: as they are on the image
    itself. A unit without a place starts at its strongest place in each crop; a place that was named stays.
    """
    height, width = pixels.shape[2:]
    tall, wide = round(height * ENLARGED), round(width * ENLARGED)
    large = F.interpolate(pixels, (tall, wide), mode="bicubic", align_corners=False).clamp(0, 1)
    starts = [replace(one, place=named.place) for one, named in zip(found, asked, strict=True)]
    total, count = torch.zeros(len(starts), tall, wide), torch.zeros(tall, wide)
    bottom, right = tall - height, wide - width
    for top, left in ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)):
        crop = large[:, :, top : top + height, left : left + width]
        for given, back in ((crop, False), (crop.flip(3), True)):
            maps = send_back(net, given, starts, "gradient").signals.abs().amax(1)
            total[:, top : top + height, left : left + width] += maps.flip(2) if back else maps
            count[top : top + height, left : left + width] += 1
    mean: Tensor = total / count.clamp_min(1)
    return F.interpolate(mean[None], (height, width), mode="area")[0]
