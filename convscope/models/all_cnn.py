"""All-CNN-C: a network of nothing but convolutions, whose strides do the work of pools.

Springenberg et al. 2015, Striving for Simplicity, tables 1 and 2 (arXiv:1412.6806). Without max pools there are no
switches, so a deconvnet learns nothing of the image on its way back: that is what guided backprop was made for.
"""

from collections import OrderedDict

from torch import nn

SIZE = (32, 32)  # of the paper's input, px
# of each convolution: units (None: one a class), kernel, stride, padding
CONVOLUTIONS: tuple[tuple[int | None, int, int, int], ...] = (
    (96, 3, 1, 1), (96, 3, 1, 1), (96, 3, 2, 1),
    (192, 3, 1, 1), (192, 3, 1, 1), (192, 3, 2, 1),
    (192, 3, 1, 0), (192, 1, 1, 0), (None, 1, 1, 0),
)  # fmt: skip


class AllCNN(nn.Sequential):
    """N×3×32×32 → N×classes: nine convolutions, each with its ReLU, and the mean over the 6×6 places that are left.

    width: of 96 and 192 units how many, as a factor. Any input of 9 px or more will do. Layers: conv1, relu1, … relu9.
    """

    def __init__(self, classes: int = 10, width: float = 1.0) -> None:
        parts: OrderedDict[str, nn.Module] = OrderedDict(dropout=nn.Dropout(0.2))
        given = 3
        for number, (units, kernel, stride, padding) in enumerate(CONVOLUTIONS, start=1):
            wanted = classes if units is None else max(1, round(units * width))
            parts[f"conv{number}"] = nn.Conv2d(given, wanted, kernel, stride, padding)
            parts[f"relu{number}"] = nn.ReLU()
            if stride == 2:
                parts[f"dropout{number}"] = nn.Dropout(0.5)
            given = wanted
        super().__init__(parts | {"mean": nn.AdaptiveAvgPool2d(1), "scores": nn.Flatten()})
