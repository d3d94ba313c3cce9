"""Averages of weights by a power of time, any of which is made afterwards (EDM2, arXiv 2312.02696, section 3).

The average of length ``sigma`` at time t weighs the weights of time tau by ``(gamma + 1) tau^gamma / t^(gamma + 1)``.
Sigma is the standard deviation of this profile as a share of t: .05 to .1 for few and many steps remembered. Two
such averages are followed in training, and snapshots of them kept; a linear combination of the snapshots comes near
to the average of any other length, at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Profile:
    """The average of one length at one time."""

    time: int
    """Training steps, at least 1."""
    length: float
    """Standard deviation as a share of `time`, above 0 and at most `LONGEST_POWER_EMA`."""

    @property
    def gamma(self) -> float:
        """The power of time: the one root above 0 of ``sigma^2 = (g + 1) / ((g + 2)^2 (g + 3))``."""
        inverse = self.length**-2
        roots = np.roots([1, 7, 16 - inverse, 12 - inverse])
        return float(roots[np.abs(roots.imag) < 1e-9].real.max())


def part_of_length(length: float) -> str:
    """The part of a checkpoint that holds the average of a length."""
    return f"power_{length:g}"


def decay(step: int, length: float) -> float:
    """What of the average stays when the weights that `step` (0, 1, ...) has produced are joined to it."""
    time = step + 1
    return float((1 - 1 / time) ** (Profile(time, length).gamma + 1))


def combination(kept: Sequence[Profile], wanted: Profile) -> tuple[NDArray[np.float64], float]:
    """The shares (n) of `kept` averages that come nearest to the `wanted` one, as profiles over time do.

    The shares add up to one, to rounding, where `wanted` is within reach of what is kept.

    Returns:
        the shares, and the distance that is left, as a share of the wanted profile's norm.
    """
    inner = np.array([[_product(one, other) for other in kept] for one in kept])
    towards = np.array([_product(one, wanted) for one in kept])
    shares = np.linalg.lstsq(inner, towards, rcond=1e-12)[0]
    whole = _product(wanted, wanted)
    left = max(0.0, float(shares @ inner @ shares - 2 * shares @ towards) + whole)
    return shares, float(np.sqrt(left / whole))


def _product(one: Profile, other: Profile) -> float:
    """The integral over time of the product of two profiles."""
    first, second = one.gamma, other.gamma
    common = min(one.time, other.time)
    # In ratios, for times to the power of gamma leave the range of floats.
    scale = (common / one.time) ** (first + 1) * (common / other.time) ** (second + 1) / common
    return float((first + 1) * (second + 1) / (first + second + 1) * scale)
