"""Maximum mean discrepancies of two sets of features (Gretton et al., JMLR 13, 2012), in float64."""

from __future__ import annotations

import numpy as np

from pixelflow.core.interfaces import Array


def cubic(first: Array, second: Array) -> Array:
    """(n d), (m d) -> (n m): ``(x y / d + 1)^3``, the kernel of KID."""
    return np.asarray((first @ second.T / first.shape[1] + 1) ** 3)


def gaussian(first: Array, second: Array, sigma: float) -> Array:
    """(n d), (m d) -> (n m): ``exp(-|x - y|^2 / (2 sigma^2))``."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    return np.asarray(np.exp(-squares.clip(0) / (2 * sigma**2)))


def unbiased_mmd2(first: Array, second: Array) -> float:
    """Unbiased squared discrepancy under the cubic kernel of equally many features (n d)."""
    count = len(first)
    within = cubic(first, first) + cubic(second, second)
    across = cubic(first, second)
    return float((within.sum() - np.trace(within)) / (count * (count - 1)) - 2 * across.mean())


def biased_mmd2(first: Array, second: Array, sigma: float, rows: int = 1000) -> float:
    """Biased squared discrepancy under the Gaussian kernel, `rows` at a time."""

    def mean(one: Array, other: Array) -> float:
        parts = (gaussian(one[start : start + rows], other, sigma).sum() for start in range(0, len(one), rows))
        return float(sum(parts)) / (len(one) * len(other))

    return mean(first, first) + mean(second, second) - 2 * mean(first, second)
