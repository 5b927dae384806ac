"""How rough filters are, and which pattern leads them: measures of weights alone, each filter at its own scale.

Weights are (filters, channels, height, width); the channels of a filter are its slices, each with n = height × width
weights. No measure changes when a filter is scaled, or when a constant is added to one of its slices.

Roughness is von Neumann's ratio (1941, Ann. Math. Stat. 12) on a grid: apart from n / (n − 1) it is Geary's contiguity
ratio (1954, The Incorporated Statistician 5) with the four neighbours of each weight.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Weights = Float[np.ndarray, "filters channels height width"]
PerFilter = Float[np.ndarray, " filters"]
CHUNK = 1 << 18  # weights that are worked on at a time: they stay in the processor's cache


def roughness(weights: Weights) -> PerFilter:
    """Half the mean squared step between neighbours over the variance inside slices, Σ(Δw)²/2p ÷ Σ(w − w̄)²/n.

    p pairs of neighbours, across and down; both sums over all slices. Smooth filters are near 0, independent weights
    at n / (n − 1), above it neighbours tend to differ in sign. NaN: no neighbours (1×1), or every slice constant.
    """
    height, width = weights.shape[2:]
    pairs = height * (width - 1) + (height - 1) * width
    if not pairs:
        return np.full(len(weights), np.nan)
    found = []
    for deviations in deviations_of(weights):
        steps = sum((np.diff(deviations, axis=axis) ** 2).sum((1, 2, 3)) for axis in (2, 3))
        found.append(steps / (2 * pairs) / ((deviations**2).sum((1, 2, 3)) / (height * width)))
    return np.concatenate(found)


def roughness_of_noise(height: int, width: int) -> float:
    """The roughness expected of independent weights, and exactly the mean over all permutations: n / (n − 1)."""
    size = height * width
    return size / (size - 1) if size > 1 else float("nan")


def high_frequency(weights: Weights) -> PerFilter:
    """The share of a filter's energy beyond half the Nyquist frequency, its slices' means (DC) taken out.

    The energy is |DFT|² of the kernel padded with zeros, in the limit of much padding: what the filter answers to a
    wave of each frequency. Low are the frequencies with both |f| ≤ 1/4 a pixel; their part is Σ v_i v_j s(i − j), with
    s(d) = sin(πd/2)/πd across and down. NaN below 3×3, and for constant filters.
    """
    height, width = weights.shape[2:]
    if min(height, width) < 3:
        return np.full(len(weights), np.nan)
    down, across = low_pass(height), low_pass(width)
    found = []
    for deviations in deviations_of(weights):
        low = (deviations * (down @ deviations @ across)).sum((1, 2, 3))
        found.append(1 - low / (deviations**2).sum((1, 2, 3)))
    return np.concatenate(found)


def high_frequency_of_noise(height: int, width: int) -> float:
    """The share expected of independent weights: (tr S − 1ᵀS1/n) / (n − 1) of their energy is low."""
    if min(height, width) < 3:
        return float("nan")
    both, size = np.kron(low_pass(height), low_pass(width)), height * width
    return float(1 - (np.trace(both) - both.sum() / size) / (size - 1))


def low_pass(size: int) -> NDArray[np.float64]:
    """s(i − j): the quadratic form that gives a vector's energy at |f| ≤ 1/4."""
    places = np.arange(size)
    return np.asarray(0.5 * np.sinc(0.5 * (places[:, None] - places)))


def pattern_entropy(weights: Weights) -> float:
    """How evenly the filters' energy spreads over spatial patterns: 1 for noise, 0 if one pattern makes all slices.

    −Σ r log r / log(n − 1), r the shares of the eigenvalues of Σ v vᵀ over all slices v without their means, each
    filter scaled to energy 1. It is near 1 for few slices only if these are noise and many: compare with shuffled
    weights. NaN for less than three weights a slice, and if all is constant.
    """
    size = weights.shape[2] * weights.shape[3]
    if size < 3:
        return float("nan")
    moments = np.zeros((size, size))
    for deviations in deviations_of(weights):
        energy = (deviations**2).sum((1, 2, 3), keepdims=True)
        slices = (deviations / np.sqrt(energy))[np.isfinite(energy).ravel()].reshape(-1, size)
        moments += slices.T @ slices
    return entropy_of(np.linalg.eigvalsh(moments)) / float(np.log(size - 1))


def entropy_of(values: NDArray[np.float64]) -> float:
    """−Σ r log r of the shares of non-negative values; NaN if all are 0."""
    values = np.clip(values, 0, None)
    if not values.sum():
        return float("nan")
    shares = values / values.sum()
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())


def leading_components(weights: Weights) -> tuple[Float[np.ndarray, "filters height width"], PerFilter]:
    """Each filter's strongest spatial pattern, σ₁v₁ of its slices as rows of a matrix, and σ₁² / Σσ².

    Its sign is that of the slices' sum, so the pattern of a filter with one slice is that slice. The share is NaN
    for a filter of zeros.
    """
    _, channels, height, width = weights.shape
    patterns, shares = [], []
    for part in parts_of(weights):
        rows = part.reshape(len(part), channels, height * width)
        columns = rows.transpose(0, 2, 1)
        if channels < height * width:
            values, vectors = np.linalg.eigh(rows @ columns)
            pattern = (columns @ vectors[:, :, -1:])[:, :, 0]
        else:
            values, vectors = np.linalg.eigh(columns @ rows)
            pattern = vectors[:, :, -1] * np.sqrt(np.clip(values[:, -1:], 0, None))
        patterns.append(pattern * sign_of(rows, pattern)[:, None])
        energy = (rows**2).sum((1, 2))
        shares.append(np.clip(values[:, -1], 0, None) / np.where(energy > 0, energy, np.nan))
    return np.concatenate(patterns).reshape(-1, height, width), np.concatenate(shares)


def sign_of(rows: NDArray[np.float64], pattern: NDArray[np.float64]) -> NDArray[np.float64]:
    """±1 for each pattern: it agrees with most of the slices, or, where they cancel, its greatest entry is positive."""
    agreement = (rows @ pattern[:, :, None]).sum((1, 2))
    doubtful = np.abs(agreement) <= 1e-9 * (pattern**2).sum(1)
    greatest = np.take_along_axis(pattern, np.abs(pattern).argmax(1)[:, None], axis=1)[:, 0]
    return np.where(np.where(doubtful, greatest, agreement) < 0, -1.0, 1.0)


def deviations_of(weights: Weights) -> Iterator[NDArray[np.float64]]:
    """The weights without their slices' means, each filter scaled to a maximum of 1; NaN where every slice is constant.

    By and by, so many filters at a time as fit.
    """
    for part in parts_of(weights):
        flat = np.ptp(part, axis=(2, 3), keepdims=True) == 0
        deviations = np.where(flat, 0.0, part - part.mean((2, 3), keepdims=True))
        greatest = np.abs(deviations).max((1, 2, 3), keepdims=True)
        yield deviations / np.where(greatest > 0, greatest, np.nan)


def parts_of(weights: Weights) -> Iterator[NDArray[np.float64]]:
    """The filters in double precision, so many at a time as fit."""
    step = max(CHUNK // max(int(np.prod(weights.shape[1:])), 1), 1)
    for start in range(0, len(weights), step):
        yield weights[start : start + step].astype(np.float64)
