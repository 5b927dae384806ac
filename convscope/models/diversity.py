"""How sparse, various and orthogonal the 3×3 filters of a layer are.

Gavrikov & Keuper 2022, CNN Filter DB (arXiv:2203.15331), as their torchconvquality computes it. Rows are the slices:
n = filters × channels vectors of nine weights.
"""

import math

import numpy as np
from jaxtyping import Float

from convscope.models.roughness import entropy_of

Weights = Float[np.ndarray, "filters channels height width"]
NEGLIGIBLE = 0.01  # of the layer's greatest |w|: a slice all below it counts as empty


def sparsity(weights: Weights) -> float:
    """The share of slices with max |w| < 0.01 · max |w| of the layer; 1 if all weights are 0."""
    greatest = np.abs(weights).max((2, 3))
    return float((greatest < (NEGLIGIBLE * greatest.max() or 1.0)).mean())


def variance_entropy(weights: Weights) -> float:
    """−Σ r log₁₀ r, r the shares of variance along the principal axes of the slices; 0 (one pattern) to log₁₀ 9."""
    rows = weights.reshape(-1, weights.shape[2] * weights.shape[3]).astype(np.float64)
    if not np.ptp(rows, axis=0).any():
        return 0.0
    centred = rows - rows.mean(0)
    return entropy_of(np.linalg.eigvalsh(centred.T @ centred)) / math.log(10)


def entropy_threshold(rows: int) -> float:
    """T_H(n): the variance entropy that n random slices of 3×3 reach at least; fitted by Gavrikov & Keuper."""
    height, start, slope, lift = 1.2618047, 2.30436435, 0.88767525, -0.31050834
    return height / (1 + math.exp(-slope * (math.log2(rows) - start))) + lift


def orthogonality(weights: Weights) -> float:
    """1 − Σ|ŴŴᵀ − I| / (f(f − 1)) of the f filters, each of length 1; 1: all at right angles. NaN for one filter."""
    count = len(weights)
    if count < 2:
        return float("nan")
    flat = weights.reshape(count, -1).astype(np.float64)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = flat / np.where(lengths > 0, lengths, 1.0)
    return float(1 - np.abs(unit @ unit.T - np.eye(count)).sum() / (count * (count - 1)))
