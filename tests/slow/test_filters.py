"""The slow twins of the filters' measures: plain loops, straight from the definitions."""

import cmath
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convscope.models.diversity import orthogonality, sparsity, variance_entropy
from convscope.models.roughness import high_frequency, pattern_entropy, roughness

RANDOM = np.random.default_rng(0)
CASES = [
    RANDOM.normal(size=(3, 2, 3, 3)) + 0.4,
    RANDOM.normal(size=(2, 3, 5, 4)),
    np.cumsum(RANDOM.normal(size=(2, 1, 6, 6)), axis=3),
]


def entropy(shares: list[float]) -> float:
    return -sum(share * math.log(share) for share in shares if share > 1e-12)


@pytest.mark.parametrize("weights", CASES)
def test_roughness_pair_by_pair(weights: NDArray[np.float64]) -> None:
    filters, channels, height, width = weights.shape
    for number in range(filters):
        steps, spreads = [], []
        for channel in range(channels):
            slice_ = weights[number, channel].tolist()
            mean = sum(map(sum, slice_)) / (height * width)
            for row in range(height):
                for column in range(width):
                    spreads.append((slice_[row][column] - mean) ** 2)
                    if column + 1 < width:
                        steps.append((slice_[row][column + 1] - slice_[row][column]) ** 2 / 2)
                    if row + 1 < height:
                        steps.append((slice_[row + 1][column] - slice_[row][column]) ** 2 / 2)
        expected = (sum(steps) / len(steps)) / (sum(spreads) / len(spreads))
        assert roughness(weights)[number] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("weights", CASES)
def test_high_frequencies_wave_by_wave(weights: NDArray[np.float64]) -> None:
    filters, channels, height, width = weights.shape
    count = 48  # waves between −1/2 and 1/2 a pixel, each in the middle of its cell
    waves = [(index + 0.5) / count - 0.5 for index in range(count)]
    for number in range(filters):
        low = total = 0.0
        for channel in range(channels):
            slice_ = weights[number, channel] - weights[number, channel].mean()
            for down in waves:
                for across in waves:
                    answer = sum(
                        slice_[row, column] * cmath.exp(-2j * math.pi * (down * row + across * column))
                        for row in range(height)
                        for column in range(width)
                    )
                    total += abs(answer) ** 2
                    low += abs(answer) ** 2 * (abs(down) < 0.25 and abs(across) < 0.25)
        assert high_frequency(weights)[number] == pytest.approx(1 - low / total, abs=2e-3)


@pytest.mark.parametrize("weights", CASES)
def test_pattern_entropy_slice_by_slice(weights: NDArray[np.float64]) -> None:
    filters, channels, height, width = weights.shape
    rows = []
    for number in range(filters):
        slices = [weights[number, c] - weights[number, c].mean() for c in range(channels)]
        energy = sum(float((one**2).sum()) for one in slices)
        rows += [one.ravel() / math.sqrt(energy) for one in slices]
    values = np.linalg.svd(np.stack(rows), compute_uv=False) ** 2
    expected = entropy((values / values.sum()).tolist()) / math.log(height * width - 1)
    assert pattern_entropy(weights) == pytest.approx(expected, abs=1e-9)


def test_the_measures_of_filter_db_row_by_row() -> None:
    """As torchconvquality spells them, in single precision: they agree to 1e-5."""
    for seed in range(5):
        weights = torch.randn(12, 6, 3, 3, generator=torch.Generator().manual_seed(seed))
        weights[seed] *= 1e-3
        weights[:, 2] = weights[:, 2] * 0.1 + weights[0, 2]
        rows = weights.reshape(-1, 9)
        least = 0.01 * float(rows.abs().max())
        empty = sum(all(abs(value) < least for value in row) for row in rows.tolist())
        assert sparsity(weights.numpy()) == pytest.approx(empty / len(rows), abs=1e-9)
        spectrum = torch.linalg.svd(rows - rows.mean(0), full_matrices=False).S ** 2 / (len(rows) - 1)
        shares = (spectrum / spectrum.sum()).tolist()
        expected = -sum(share * math.log10(share) for share in shares)
        assert variance_entropy(weights.numpy()) == pytest.approx(expected, abs=1e-5)
        unit = [row / row.norm() for row in weights.flatten(1)]
        overlap = sum(abs(float(a @ b)) for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j)
        assert orthogonality(weights.numpy()) == pytest.approx(1 - overlap / (12 * 11), abs=1e-5)
