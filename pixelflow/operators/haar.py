"""The orthonormal Haar wavelet's low band: its noise stays white by itself.

Down keeps the low band (block sum / 2), up is its transpose, so ``down(up(x)) = x`` and the gain is 1: entering
a stage rewinds no time, the new noise is all in the other three bands.
"""

from __future__ import annotations

import math
from typing import Literal

from einops import reduce, repeat
from torch import Tensor

from pixelflow.core.interfaces import Downsampler, Upsampler


class HaarDown(Downsampler):
    """The low band; doubles the brightness."""

    class Params(Downsampler.Params):
        type: Literal["haar"] = "haar"

    brightness = 2.0

    def __call__(self, x: Tensor) -> Tensor:
        return low_band(x)


class HaarUp(Upsampler):
    """The low band back to an image; halves the brightness."""

    class Params(Upsampler.Params):
        type: Literal["haar"] = "haar"

    gain = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        return repeat(x, "b c h w -> b c (h 2) (w 2)") / 2

    def noise_scale(self, height: int, width: int) -> float:
        return math.sqrt(3 / 4)

    def shape_noise(self, white: Tensor) -> Tensor:
        """``I - U U^T`` projects on the three other bands, which hold 3/4 of the variance."""
        return math.sqrt(4 / 3) * (white - self(low_band(white)))


def low_band(x: Tensor) -> Tensor:
    """(b c 2h 2w) -> (b c h w)"""
    return reduce(x, "b c (h 2) (w 2) -> b c h w", "sum") / 2
