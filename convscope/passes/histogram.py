"""Histograms whose range need not be known beforehand, and that come out the same in any order of the values.

Each unit has 64 equal bins from -2^e to 2^e. Where a value lies beyond, e grows and neighbouring bins join in pairs,
so the counts depend on the values alone.
"""

import numpy as np
from numpy.typing import NDArray

BINS = 64
LOWEST = -40  # the smallest exponent: values below 2^-40 are as good as 0

Counts = NDArray[np.int32]  # (U, 64)
Exponents = NDArray[np.int16]  # (U,)


def exponents_of(values: NDArray[np.float32]) -> Exponents:
    """(n, U) finite values → (U,) the smallest e with all values in [-2^e, 2^e)."""
    high, low = values.max(axis=0, initial=0), values.min(axis=0, initial=0)
    _, above = np.frexp(high)  # high < 2^above
    mantissa, below = np.frexp(low)
    below = np.where(mantissa == -0.5, below - 1, below)  # -2^e itself still fits
    return np.maximum(np.maximum(np.where(high > 0, above, LOWEST), np.where(low < 0, below, LOWEST)), LOWEST).astype(
        np.int16
    )


def widen(counts: Counts, exponents: Exponents, wanted: Exponents) -> None:
    """Brings counts into the bins of greater exponents, both in place."""
    narrow = np.flatnonzero(wanted > exponents)
    empty = narrow[~counts[narrow].any(axis=1)]
    exponents[empty] = wanted[empty]
    steps = wanted[narrow] - exponents[narrow]
    for step in np.unique(steps[steps > 0]):
        units = narrow[steps == step]
        left = max(BINS >> step, 2)  # bins that are left of the old range, in the middle of the new one
        joined = counts[units].reshape(len(units), left, -1).sum(axis=2, dtype=np.int32)
        counts[units] = 0
        counts[units, (BINS - left) // 2 : (BINS + left) // 2] = joined
        exponents[units] += step


def count(counts: Counts, exponents: Exponents, values: NDArray[np.float32]) -> None:
    """Adds (n, U) finite values to the counts, in place; all lie within the exponents."""
    bins = counts.reshape(-1)
    first = np.arange(values.shape[1]) * BINS + BINS // 2
    scale = np.ldexp(BINS / 2, -exponents.astype(np.int32))
    for row in np.floor(values * scale).astype(np.int32):  # of one image each bin is counted at most once
        bins[first + row] += 1


def edges(exponent: int) -> NDArray[np.float64]:
    """(65,) the borders of the bins."""
    return np.ldexp(np.linspace(-1, 1, BINS + 1), exponent)
