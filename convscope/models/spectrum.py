"""Images as what an ascent can move well: Fourier coefficients of equal weight, colours independent of each other.

Olah, Mordvintsev & Schubert 2017, Feature Visualization (Distill), and its code Lucid: a step in this space moves all
frequencies by the same share of what natural images have of them, and colours along the axes along which they vary.
"""

import torch
from torch import Tensor

# square root of the covariance of ImageNet's colours, its greatest column of length 1 (Lucid)
COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
DEVIATION = 0.01  # of the coefficients at the start


class Spectrum:
    """Some images of one size as coefficients that are moved, and as the pixels in (0, 1) that these stand for."""

    def __init__(self, count: int, size: tuple[int, int], seed: int) -> None:
        self.size = size
        random = torch.Generator().manual_seed(seed)
        rows, columns = torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])[None]
        frequency = (rows**2 + columns**2).sqrt().clamp_min(1 / max(size))
        self.weight = (size[0] * size[1]) ** 0.5 / frequency
        # all images begin alike, so that it does not matter what stands beside one
        one = (3, *frequency.shape, 2)
        first = torch.randn(one, generator=random)
        self.coefficients = (first[None].repeat(count, 1, 1, 1, 1) * DEVIATION).requires_grad_()
        self.turn = COLOURS / COLOURS.norm(dim=0).max()

    def pixels(self) -> Tensor:
        """N×3×H×W in (0, 1); gradients flow to the coefficients."""
        spectrum = torch.view_as_complex(self.coefficients) * self.weight
        planes = torch.fft.irfft2(spectrum, s=self.size) / 4
        colours = torch.einsum("nchw,dc->ndhw", planes, self.turn)
        return colours.sigmoid()
