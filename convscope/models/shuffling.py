"""The controls of a layer's roughness, weights shuffled and weights untrained, and the verdict that rests on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from convscope.models.roughness import PerFilter, Weights, parts_of, pattern_entropy, roughness

Grade = Literal["smooth", "partly smooth", "patterned", "noisy", "none"]
Draw = Callable[[Weights, np.random.Generator], Weights]
Told = Callable[[int, int], None]  # so many draws of so many are done

BUDGET = (
    1_500_000  # weights that all draws of a control may take, if one slice a filter is not more: a tenth of a second
)
SIGNIFICANT = 0.01  # the greatest p-value that counts
SMOOTH = 0.6  # of the roughness of shuffled weights
PARTLY = 0.95
SHARED = 0.95  # of the pattern entropy of shuffled weights
WORDS = {0.2: "a fifth", 0.25: "a quarter", 1 / 3: "a third", 0.5: "half"}


@dataclass(frozen=True, eq=False)
class Control:
    """What the measures say of weights without spatial order, drawn again and again."""

    per_filter: PerFilter  # mean roughness over the draws
    example: PerFilter  # roughness in one draw with all slices
    means: Float[np.ndarray, " draws"]  # of the layer: mean roughness of its filters
    entropies: Float[np.ndarray, " draws"]  # of the layer: pattern entropy

    @property
    def interval(self) -> tuple[float, float]:
        """95 of 100 draws have their mean roughness in it."""
        low, high = np.percentile(self.means, [2.5, 97.5])
        return float(low), float(high)


@dataclass(frozen=True)
class Evidence:
    """A layer beside its shuffled weights, both in the slices that were shuffled."""

    roughness: float  # mean of the filters that are not constant
    shuffled_roughness: float  # its mean over the shuffles
    p_value: float  # of the shuffles (and the layer) so many are at most as rough
    pattern_entropy: float
    shuffled_pattern_entropy: float  # its mean over the shuffles
    pattern_p_value: float  # of the shuffles (and the layer) so many have at most that pattern entropy


def weighed(weights: Weights, control: Control) -> Evidence:
    """The permutation test of both measures, one-sided; `weights` are those that were shuffled."""
    observed, entropy = mean_of(roughness(weights)), pattern_entropy(weights)
    p_value, pattern_p_value = (
        float((1 + (draws <= value).sum()) / (1 + len(draws)))
        for draws, value in ((control.means, observed), (control.entropies, entropy))
    )
    return Evidence(
        observed, float(control.means.mean()), p_value, entropy, float(control.entropies.mean()), pattern_p_value
    )


def shuffled(weights: Weights, shuffles: int, seed: int, told: Told) -> Control:
    """The control of shuffled weights: positions permuted inside every slice, so that only their order is lost."""
    return drawn(weights, shuffles, np.random.default_rng([seed, 0]), permuted, told)


def untrained(weights: Weights, draws: int, seed: int, told: Told) -> Control:
    """The control of random initialisation: what the framework gives layers of that shape, uniform and independent.

    Its bound, 1/√(weights a filter), does not matter to measures that are blind to scale.
    """
    return drawn(weights, draws, np.random.default_rng([seed, 1]), uniform, told)


def permuted(weights: Weights, random: np.random.Generator) -> Weights:
    """The weights with the positions of each slice in random order."""
    slices = weights.reshape(*weights.shape[:2], -1)
    return random.permuted(slices, axis=2).reshape(weights.shape)


def uniform(weights: Weights, random: np.random.Generator) -> Weights:
    """As many independent weights between −1 and 1."""
    return random.uniform(-1, 1, weights.shape)


def drawn(weights: Weights, draws: int, random: np.random.Generator, draw: Draw, told: Told) -> Control:
    """A control: many draws of the strongest slices, and one of all. NaN for 1×1, which has no order to lose."""
    if weights.shape[2:] == (1, 1):
        nothing = np.full(draws, np.nan)
        return Control(roughness(weights), roughness(weights), nothing, nothing)
    strongest = strongest_slices(weights, draws)
    table, entropies = np.empty((draws, len(weights))), np.empty(draws)
    for index in range(draws):
        sample = draw(strongest, random)
        table[index], entropies[index] = roughness(sample), pattern_entropy(sample)
        told(index + 1, draws)
    example = np.concatenate([roughness(draw(part, random)) for part in parts_of(weights)])
    return Control(table.mean(0), example, np.array([mean_of(row) for row in table]), entropies)


def strongest_slices(weights: Weights, draws: int) -> Float[np.ndarray, "filters kept height width"]:
    """The slices of each filter that vary most, so many that all draws keep to the budget, at least one."""
    filters, channels, height, width = weights.shape
    count = min(max(BUDGET // (draws * filters * height * width), 1), channels)
    if count == channels or (height, width) == (1, 1):
        return weights
    order = np.argsort(-weights.var((2, 3)), axis=1, kind="stable")[:, :count]
    return np.take_along_axis(weights, order[:, :, None, None], axis=1)


def mean_of(values: PerFilter) -> float:
    """The mean of what is a number; NaN if nothing is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def verdict(evidence: Evidence, size: tuple[int, int]) -> tuple[Grade, str]:
    """Smooth, partly smooth, patterned or noisy, in a word and in a sentence with its evidence.

    The constants are calibrated on EfficientNet-Lite0. With random weights (17 spatial layers) no layer is smoother
    or shares more than its shuffled weights by these margins: roughness 0.94 to 1.02 times theirs, pattern entropy
    0.97 to 1.01 times. With trained weights every layer shares patterns (0.30 to 0.87 times), but only 2 layers are
    less than 0.6 times as rough, and 8 are as rough or rougher: well-trained 3×3 filters are often centre against
    surround, which no measure of neighbours alone tells from noise. So only a layer without either counts as noisy.
    """
    if not np.isfinite(evidence.roughness):
        if size == (1, 1):
            return "none", "1×1: no neighbours, so neither smooth nor noisy"
        return "none", "every filter is constant, so neither smooth nor noisy"
    share = evidence.roughness / evidence.shuffled_roughness
    numbers = f"({evidence.roughness:.2f} of {evidence.shuffled_roughness:.2f})"
    if share <= SMOOTH and evidence.p_value <= SIGNIFICANT:
        return "smooth", f"smooth: {part_of(share)} as rough as shuffled weights {numbers}"
    if share <= PARTLY and evidence.p_value <= SIGNIFICANT:
        return "partly smooth", f"partly smooth: {part_of(share)} as rough as shuffled weights {numbers}"
    compared = "as rough as" if share <= 2 - PARTLY else "rougher than"
    common = evidence.pattern_entropy / evidence.shuffled_pattern_entropy
    if common <= SHARED and evidence.pattern_p_value <= SIGNIFICANT:
        entropies = f"{evidence.pattern_entropy:.2f} of {evidence.shuffled_pattern_entropy:.2f}"
        return "patterned", (
            f"patterned: {compared} shuffled weights {numbers}, yet its filters share patterns, as trained ones do "
            f"(pattern entropy {entropies})"
        )
    return "noisy", f"noisy: {compared} shuffled weights {numbers}; under-trained or under-regularised"


def part_of(share: float) -> str:
    """A share in words where a plain one is near, else as a number."""
    near = next((words for value, words in WORDS.items() if abs(share / value - 1) < 0.06), "")
    return near or f"{share:.2f} times"
