"""Images that climb the scores of units: three recipes of a step.

Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, section 2 (arXiv:1312.6034).
Yosinski et al. 2015, Understanding Neural Networks Through Deep Visualization, section 3 (arXiv:1506.06579).
Olah, Mordvintsev & Schubert 2017, Feature Visualization, Distill (recipe of the code Lucid).
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import BadWeights, NoRule
from convscope.models.backward import Backward
from convscope.models.layers import Layer
from convscope.models.net import Net
from convscope.models.slopes import before
from convscope.models.spectrum import Spectrum
from convscope.models.starts import Start

Recipe = Literal["fourier", "yosinski", "simonyan"]
DECAY, RADIUS, EVERY = 1e-4, 1.0, 4  # Yosinski's: of the image in each step, px of the blur, steps between two
STEP = 2 / 255  # root mean square of a step of the pixels, of both; papers give rates for one network
WEIGHT = 1e-4  # Simonyan's λ, of the squared norm of normalised pixels
LEARNING, JITTER, TURN, GROWTH = 0.05, 12, 10.0, 0.1  # Fourier's: Adam; px of an image of USUAL px, degrees, share
USUAL = 224


class Ascent:
    """Images that climb the scores of units of one layer, all in one batch."""

    def __init__(self, net: Net, layer: Layer, starts: Sequence[Start], recipe: Recipe, seed: int) -> None:
        node = before(layer.node)
        inner = next((one for one in net.layers if one.node is node), layer)
        self.net, self.recipe, self.count = net, recipe, len(starts)
        self.inner, self.backward = inner, Backward(net, inner)
        self.names = [start.address for start in starts]
        self.cells = [(number, *start.cells) for number, start in enumerate(starts)]
        self.random = torch.Generator().manual_seed(seed)
        mean = torch.tensor(net.preprocess.mean).view(1, 3, 1, 1)
        self.mean = mean.clamp(0, 1)
        if recipe == "fourier":
            self.spectrum = Spectrum(self.count, net.size, seed)
            self.adam = torch.optim.Adam([self.spectrum.coefficients], lr=LEARNING)
        else:
            self.image = self.mean.expand(self.count, 3, *net.size).clone()
            if recipe == "yosinski":  # normal, deviation 10 of 255, about the mean
                noise = torch.randn(1, 3, *net.size, generator=torch.Generator().manual_seed(seed))
                self.image = (self.image + noise * 10 / 255).clamp(0, 1)

    @cached_property
    def waking(self) -> Backward:
        """What sends back a signal also where all is at rest."""
        return Backward(self.net, self.inner, "redirected")

    def pixels(self) -> Tensor:
        """N×3×H×W in [0, 1]: the images as they are."""
        return self.spectrum.pixels().detach() if self.recipe == "fourier" else self.image.clone()

    def step(self, number: int) -> Tensor:
        """One step of all images; gives the scores of what it was at, N."""
        if self.recipe == "fourier":
            return self.turned()
        scores, gradient = self.slope(self.image)
        if self.recipe == "yosinski":
            self.image = self.smoothed(gradient, number)
        else:
            self.image = self.shrunk(gradient)
        return scores

    def scores(self, pixels: Tensor, backward: Backward | None = None) -> Tensor:
        """The score of each image's own unit."""
        backward = backward or self.backward
        values = backward.forward(backward.prepare(pixels))
        return torch.stack([values[cell] for cell in self.cells])

    def slope(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Scores N, and their gradient with respect to the pixels in [0, 1]; where that is 0, what would wake it."""
        scores, gradient = self.gradient(pixels, self.backward)
        resting = ~gradient.flatten(1).any(1)
        if bool(resting.any()):
            gradient[resting] = self.gradient(pixels, self.waking)[1][resting]
        return scores, gradient

    def gradient(self, pixels: Tensor, backward: Backward) -> tuple[Tensor, Tensor]:
        """Scores N and what their own units send back to the pixels."""
        with torch.enable_grad():
            given = pixels.clone().requires_grad_()
            scores = self.scores(given, backward)
            self.check(scores)
            (gradient,) = torch.autograd.grad(scores.sum(), given)
        self.check(scores, gradient)
        return scores.detach().float().cpu(), gradient.float().cpu()

    def check(self, scores: Tensor, gradient: Tensor | None = None) -> None:
        """NoRule where scores do not depend on the pixels; BadWeights where they or their gradient are not finite."""
        if not scores.requires_grad:
            raise NoRule(
                f"the score of {self.names[0]} cannot be climbed: it has no gradient at the pixels",
                "choose a class or unit that is computed from the pixels without counting or comparing",
            )
        each = scores if gradient is None else gradient.flatten(1).sum(1)
        if wrong := [name for name, fine in zip(self.names, each.isfinite().tolist(), strict=True) if not fine]:
            what = "score" if gradient is None else "gradient"
            raise BadWeights(f"the {what} of {wrong[0]} is not finite", "check the network's weights, mean and std")

    def turned(self) -> Tensor:
        """Adam on the spectrum, seen through a random shift, turn and scale: the same for all images of the batch."""
        with torch.enable_grad():
            seen = self.seen(self.spectrum.pixels())
            scores, gradient = self.slope(seen.detach())
            (self.spectrum.coefficients.grad,) = torch.autograd.grad(seen, self.spectrum.coefficients, -gradient)
        self.adam.step()
        return scores

    def seen(self, pixels: Tensor) -> Tensor:
        """Images in a grey margin, shifted, turned and scaled at random."""
        height, width = pixels.shape[2:]
        draw = torch.rand(4, generator=self.random) * 2 - 1
        angle, scale = math.radians(TURN) * float(draw[0]), 1 + GROWTH * float(draw[1])
        jitter = JITTER * min(1, min(height, width) / USUAL)  # a unit of a small image stays in view
        shift = [jitter * float(one) for one in draw[2:]]
        cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
        matrix = torch.tensor(
            [
                [cosine, -sine * height / width, 2 * shift[1] / width],
                [sine * width / height, cosine, 2 * shift[0] / height],
            ]
        )
        grid = F.affine_grid(matrix[None], [1, 3, height, width], align_corners=False)
        inside = F.grid_sample(pixels - 0.5, grid.expand(len(pixels), -1, -1, -1), align_corners=False)
        return inside + 0.5

    def shrunk(self, gradient: Tensor) -> Tensor:
        """Simonyan's step: the score less λ times the squared norm of the pixels as the network is given them."""
        variance = torch.tensor(self.net.preprocess.std).view(1, 3, 1, 1).square()
        slope = gradient - 2 * WEIGHT * (self.image - self.mean) / variance
        return (self.image + STEP * levelled(slope)).clamp(0, 1)

    def smoothed(self, gradient: Tensor, number: int) -> Tensor:
        """Yosinski's step: ascent, decay towards the mean image, now and then a blur."""
        shifted = (self.image - self.mean + STEP * levelled(gradient)) * (1 - DECAY)
        if number % EVERY == EVERY - 1:
            shifted = blurred(shifted, RADIUS)
        return (self.mean + shifted).clamp(0, 1)


def levelled(slope: Tensor) -> Tensor:
    """Each image's gradient with a root mean square of 1."""
    return slope / slope.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Under a Gaussian of so many pixels, edges reflected."""
    reach = math.ceil(3 * deviation)
    places = torch.arange(-reach, reach + 1, dtype=images.dtype)
    line = torch.exp(-places.square() / (2 * deviation**2))
    line = (line / line.sum()).expand(images.shape[1], 1, 1, -1)
    rows, columns = (reflected(length, reach) for length in images.shape[2:])
    padded = images[:, :, rows][:, :, :, columns]
    across = F.conv2d(padded, line, groups=images.shape[1])
    return F.conv2d(across, line.transpose(2, 3), groups=images.shape[1])


def reflected(length: int, reach: int) -> Tensor:
    """Which place of a line is seen from each place up to so far outside it, its ends mirrors; there and back again."""
    period = max(2 * (length - 1), 1)
    places = torch.arange(-reach, length + reach) % period
    return torch.minimum(places, period - places)
