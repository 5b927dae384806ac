"""Sparsity of a layer in plain loops, straight from the definitions (Hoyer 2004; Hu et al. 2016)."""

import math

import numpy as np
import pytest

from convscope import Net
from convscope.techniques.activations import activations
from tests.digits import SIZE, digits, trained_digits


@pytest.mark.parametrize("layer", ["0", "1", "4", "5", "7"])
@pytest.mark.parametrize("number", [0, 7])
def test_maxima_zeros_and_sparsity(layer: str, number: int) -> None:
    """The share of exact zeros and the maximum of each unit, and Hoyer's measure of the layer, value by value."""
    result = activations(Net(trained_digits(), size=SIZE, name="digits"), digits().test_images[number], layer)
    total = zeros = 0
    length = square = 0.0
    for unit, rows in enumerate(np.asarray(result.maps, np.float64).tolist()):
        silent, greatest, count, places = True, -math.inf, 0, 0
        for row in rows:
            for value in row:
                greatest = max(greatest, value)
                count += value == 0
                silent = silent and value <= 0
                length += abs(value)
                square += value * value
                places += 1
        assert float(result.unit_max[unit]) == greatest
        assert float(result.fraction_zero[unit]) == pytest.approx(count / places)
        assert bool(result.silent[unit]) == silent
        zeros, total = zeros + count, total + places
    assert result.zeros == pytest.approx(zeros / total, abs=1e-12)
    root = math.sqrt(total)
    assert result.hoyer == pytest.approx((root - length / math.sqrt(square)) / (root - 1), rel=1e-9)
