"""The filters of a layer as pictures, and whether they are smooth or noisy.

Smooth filters without noise are a sign of a well-trained network; noisy ones, of one trained too short or regularised
too weakly (Karpathy, CS231n, Understanding and Visualizing Convolutional Neural Networks: Conv/FC filters). How
smooth is measured against the same weights in random order.
"""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from convscope.models.diversity import entropy_threshold, orthogonality, sparsity, variance_entropy
from convscope.models.kernels import Kernels, find_kernels
from convscope.models.net import Net
from convscope.models.roughness import (
    Weights,
    high_frequency,
    high_frequency_of_noise,
    leading_components,
    roughness,
)
from convscope.models.shuffling import mean_of, shuffled, strongest_slices, untrained, verdict, weighed
from convscope.technique import SILENT, Result, Watch, checked


@dataclass(frozen=True, eq=False)
class Filters(Result):
    """The filters of a convolution or linear layer: weights, leading patterns, roughness beside its controls."""

    layer: str
    net: str
    kind: str  # conv2d or linear
    first: bool  # whether its channels are red, green and blue
    groups: int
    transposed: bool
    weights: Float[Tensor, "filters channels height width"] = field(repr=False)
    components: Float[Tensor, "filters height width"] = field(repr=False)  # leading spatial pattern, weight units
    explained: Float[Tensor, " filters"] = field(repr=False)  # its share of the filter's energy
    roughness: Float[Tensor, " filters"] = field(repr=False)  # NaN: 1×1 or constant
    null_roughness: Float[Tensor, " filters"] = field(repr=False)  # mean over the shuffles
    shuffled: Float[Tensor, " filters"] = field(repr=False)  # roughness in one shuffle of all slices
    untrained: Float[Tensor, " filters"] = field(repr=False)  # roughness of one random initialisation
    high_frequency: Float[Tensor, " filters"] = field(repr=False)  # share of energy; NaN below 3×3
    mean_roughness: float  # of all filters that are not constant; the numbers below are of the layer too
    shuffled_roughness: float  # mean over the shuffles
    shuffled_low: float  # 95 of 100 shuffles
    shuffled_high: float
    initial_roughness: float  # mean over random initialisations
    initial_low: float
    initial_high: float
    p_value: float  # that shuffled weights are at most as rough
    pattern_entropy: float  # 1: noise, 0: one pattern makes all slices
    shuffled_pattern_entropy: float
    pattern_p_value: float
    noise_high_frequency: float  # what independent weights would have
    constant: int  # how many filters do not vary in space, of kernels that could
    sparsity: float  # the four of Gavrikov & Keuper: NaN where the kernel is not 3×3
    variance_entropy: float
    entropy_ratio: float  # over the threshold of random slices
    orthogonality: float
    grade: str  # smooth, partly smooth, patterned, noisy, none
    verdict: str
    shuffles: int
    shuffled_slices: int  # how many slices of each filter were shuffled, those that vary most
    seed: int

    @property
    def address(self) -> str:
        """The layer, as a title."""
        return self.layer

    def lines(self) -> list[list[str]]:
        """A line for each filter: roughness, that of its shuffled weights, high frequencies, leading pattern."""
        names = ["filter", "roughness", "shuffled", "high frequency", "leading pattern", "norm"]
        norms = self.weights.flatten(1).norm(dim=1)
        columns = (self.roughness, self.null_roughness, self.high_frequency, self.explained, norms)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [names, *([str(number), *(f"{value:.3g}" for value in row)] for number, row in enumerate(rows))]


@checked
def filters(
    net: Net,
    layer: str,
    *,
    shuffles: Annotated[int, Field(ge=99, le=9999, description="how often the weights are shuffled")] = 99,
    seed: Annotated[int, Field(ge=0, description="of shuffles and random weights")] = 0,
    watch: Watch = SILENT,
) -> Filters:
    """The filters of a layer ("features.0", or its activation), and whether they are smooth or noisy.

    Raises UnknownLayer, and BadAddress where no filters make the layer.
    """
    kernels = find_kernels(net, layer)
    weights = kernels.weights.numpy()
    null = shuffled(weights, shuffles, seed, lambda done, total: watch.progress(done, 2 * total, "draws"))
    random = untrained(weights, shuffles, seed, lambda done, total: watch.progress(total + done, 2 * total, "draws"))
    sample = strongest_slices(weights, shuffles)
    evidence = weighed(sample, null)
    size = (weights.shape[2], weights.shape[3])
    grade, sentence = verdict(evidence, size)
    measured = roughness(weights)
    components, explained = leading_components(weights)
    return Filters(
        layer=kernels.layer,
        net=net.name,
        kind=kernels.kind,
        first=kernels.first,
        groups=kernels.groups,
        transposed=kernels.transposed,
        weights=kernels.weights,
        components=tensor(components),
        explained=tensor(explained),
        roughness=tensor(measured),
        null_roughness=tensor(null.per_filter),
        shuffled=tensor(null.example),
        untrained=tensor(random.example),
        high_frequency=tensor(high_frequency(weights)),
        mean_roughness=mean_of(measured),
        shuffled_roughness=evidence.shuffled_roughness,
        shuffled_low=null.interval[0],
        shuffled_high=null.interval[1],
        initial_roughness=float(random.means.mean()),
        initial_low=random.interval[0],
        initial_high=random.interval[1],
        p_value=evidence.p_value,
        pattern_entropy=evidence.pattern_entropy,
        shuffled_pattern_entropy=evidence.shuffled_pattern_entropy,
        pattern_p_value=evidence.pattern_p_value,
        noise_high_frequency=high_frequency_of_noise(*size),
        constant=int(np.isnan(measured).sum()) if size != (1, 1) else 0,
        **diversity(kernels, weights),
        grade=grade,
        verdict=sentence,
        shuffles=shuffles,
        shuffled_slices=sample.shape[1],
        seed=seed,
    )


def diversity(kernels: Kernels, weights: Weights) -> dict[str, float]:
    """The measures that are defined for 3×3 convolutions; NaN for other layers."""
    names = ("sparsity", "variance_entropy", "entropy_ratio", "orthogonality")
    if kernels.kind != "conv2d" or weights.shape[2:] != (3, 3):
        return dict.fromkeys(names, float("nan"))
    entropy = variance_entropy(weights)
    ratio = entropy / entropy_threshold(weights.shape[0] * weights.shape[1])
    return dict(zip(names, (sparsity(weights), entropy, ratio, orthogonality(weights)), strict=True))


def tensor(array: Float[np.ndarray, "..."]) -> Tensor:
    """An array in single precision, as the weights are."""
    return torch.from_numpy(array.astype(np.float32))
