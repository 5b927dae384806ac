"""What guided backprop is for: a network without pools. `python -m docs.all_cnn` measures, and writes docs/all-cnn.md.

Springenberg et al. 2015, Striving for Simplicity (arXiv:1412.6806): without the switches of max pools a
deconvnet learns nothing of the image on its way back. Here a narrow All-CNN-C, trained on real digits, is asked.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import convscope
from convscope.models.backward import Backward, Rule
from convscope.render.figure import Tile, TileRow, compose
from convscope.render.gradient import high_end
from convscope.render.panels import Tiles
from convscope.render.pixels import colour, to_bytes
from docs.page import table, write
from tests.digits import SIZE, accuracy, digits, trained_all_cnn

DOCS = Path(__file__).parent
NAMES: dict[Rule, str] = {"gradient": "gradient", "deconvnet": "deconvnet", "guided": "guided backprop"}
HIGH, PLACE = "relu8", (0, 0)  # the last layer before the class maps; one of its 2×2 places
INK = 0.5  # pixels above are strokes
SHOWN = (0, 2, 3, 5)  # digits in the picture, two of each


@dataclass(frozen=True)
class Measured:
    """What the signals of a method have to do with the images that they were sent back to."""

    start: str
    method: str
    images: int  # N: those in which the start is active
    on_ink: float  # share of the signal above 0 that falls on strokes, the mean over images
    size_on_ink: float  # the same of its size, both signs
    ink: float  # share of the pixels that are strokes
    correlation: float  # of the signal with its own image, mean
    found: float  # share of signals that are more correlated with their own image than with any other
    alike: float  # mean cosine of the signals of two images from the same start

    @property
    def cells(self) -> tuple[str, ...]:
        """As a row of the page's table."""
        shares = (
            f"{self.on_ink:.0%}",
            f"{self.size_on_ink:.0%}",
            f"{self.correlation:+.2f}".replace("-", "−"),
            f"{self.found:.1%}",
        )
        return (self.start, self.method, str(self.images), *shares, f"{self.alike:.2f}")


def digits_net() -> convscope.Net:
    """The trained network with its ten classes."""
    return convscope.Net(trained_all_cnn(), size=SIZE, labels=list("0123456789"), name="All-CNN-C on digits")


def signals(net: convscope.Net, images: Tensor, layer: str, start: Tensor, rule: Rule) -> Tensor:
    """The signal of each image N×3×H×W, summed over its equal colours: N×H×W. start: 1 where signals begin."""
    (signal,) = Backward(net, net.layer(layer), rule).signals(images, lambda value: [start.expand_as(value)])
    return signal.sum(1)


def common_unit(net: convscope.Net, images: Tensor) -> tuple[int, Tensor]:
    """The unit of the high layer that is active at the place in most images, and in which ones."""
    active = net.outputs(images, [HIGH])[HIGH][:, :, *PLACE] > 0
    unit = int(active.sum(0).argmax())
    return unit, active[:, unit]


def at_unit(net: convscope.Net, unit: int) -> Tensor:
    """A start 1×C×H×W: the unit at the place."""
    start = torch.zeros(1, *net.layer(HIGH).shape)
    start[0, unit, *PLACE] = 1
    return start


def experiment(net: convscope.Net, images: Tensor) -> Iterator[Measured]:
    """Every method from the most probable class of each image, then from one unit at one place."""
    classes = net.scores(images).argmax(1)
    for rule in NAMES:
        sent = signals(net, images, "scores", F.one_hot(classes, 10).float(), rule)
        yield measure("its class", NAMES[rule], sent, images[:, 0], classes)
    unit, active = common_unit(net, images)
    some = images[active]
    for rule in NAMES:
        sent = signals(net, some, HIGH, at_unit(net, unit), rule)
        yield measure(f"`{HIGH}:{unit}@0,0`", NAMES[rule], sent, some[:, 0], torch.zeros(len(some)))


def measure(start: str, method: str, sent: Tensor, images: Tensor, starts: Tensor) -> Measured:
    """One method; sent and images N×H×W, starts (N,): signals are compared where these are equal."""
    raising, ink = sent.clamp_min(0).flatten(1), (images > INK).float().flatten(1)
    on_ink, size_on_ink = (
        ((part * ink).sum(1) / part.sum(1))[part.sum(1) > 0].mean() for part in (raising, sent.abs().flatten(1))
    )
    correlations = F.normalize(sent.flatten(1) - sent.mean((1, 2))[:, None]) @ (
        F.normalize(images.flatten(1) - images.mean((1, 2))[:, None]).T
    )
    found = (correlations.argmax(1) == torch.arange(len(sent))).float().mean()
    directions = F.normalize(sent.double().flatten(1))
    pairs = (starts[:, None] == starts).triu(1)
    alike = (directions @ directions.T)[pairs].mean()
    numbers = (on_ink, size_on_ink, ink.mean(), correlations.diag().mean(), found, alike)
    return Measured(start, method, len(sent), *(float(number) for number in numbers))


def picture(net: convscope.Net, images: Tensor, labels: Tensor) -> bytes:
    """Two of each shown digit, and what the methods send back to it: from its class, and from one unit."""
    classes = net.scores(images).argmax(1)
    unit, active = common_unit(net, images)
    rightly = (classes == labels) & active
    chosen = [int(row) for digit in SHOWN for row in (rightly & (labels == digit)).nonzero()[:2, 0]]
    some = images[chosen]
    photos = tuple(Tile(to_bytes(one.permute(1, 2, 0).numpy())) for one in some)
    panels = []
    for layer, start, title, caption in (
        ("scores", F.one_hot(classes[chosen], 10).float(), "From the class of each digit", BY_CLASS),
        (HIGH, at_unit(net, unit), f"From unit {unit} of {HIGH}, at its upper left place", BY_UNIT),
    ):
        rows = [TileRow("image", "", photos)]
        for rule in NAMES:
            sent = signals(net, some, layer, start, rule).numpy()
            rows.append(TileRow(NAMES[rule], "", tuple(coloured(one) for one in sent)))
        panels.append(Tiles(title, tuple(rows), caption, tile_side=72, value_name="", smooth=False))
    head = "Without pools a deconvnet does not see the image"
    under = f"A narrow All-CNN-C that names {accuracy(trained_all_cnn()):.1%} of {len(images)} digits rightly"
    return compose(panels, head, under, scale=2)


def coloured(sent: NDArray[np.float32]) -> Tile:
    """A signal H×W on its own scale about mid-grey."""
    end = high_end(np.abs(sent.astype(np.float64)))
    return Tile(colour(sent, True, (-end, end)))


COLOURS = (
    "Orange: a signal above 0, more light raises the target; blue: below 0; mid-grey: 0. Each tile has its own scale, "
    "up to the 99.5% quantile of its size."
)
BY_CLASS = (
    "Test digits of 16 × 16 px, two of each class, the first that are named rightly. The deconvnet sends the same "
    f"picture back to both digits of a class: it is made of weights alone. {COLOURS}"
)
BY_UNIT = (
    "The same digits; the signals start at one unit and one place, active in all eight. Eight times the same deconvnet "
    "picture: only its strength depends on the image, which these scales leave out. Guided backprop follows each "
    "digit’s strokes in orange, with blue beside them."
)


def main() -> None:
    """The table into the page and onto the screen, and the picture."""
    net, data = digits_net(), digits()
    measured = list(experiment(net, data.test_images))
    head = (
        "start",
        "method",
        "N",
        "on strokes",
        "size on strokes",
        "correlation with its image",
        "image found",
        "alike between images",
    )
    write(DOCS / "all-cnn.md", "signals and images", table(head, [one.cells for one in measured]))
    drawn = Image.open(io.BytesIO(picture(net, data.test_images, data.test_labels))).convert("RGB")
    drawn.quantize(256, Image.Quantize.MAXCOVERAGE).save(DOCS / "pictures" / "all-cnn.png", optimize=True)


if __name__ == "__main__":
    main()
