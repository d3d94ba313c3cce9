"""Nearest neighbour: repetition up (the paper's choice), the top-left pixel of each 2x2 block down."""

from __future__ import annotations

import math
from typing import Literal

from einops import reduce, repeat
from torch import Tensor

from pixelflow.core.interfaces import Downsampler, Upsampler


class NearestUp(Upsampler):
    """Repeats each pixel in a 2x2 block; its renoising has a closed form."""

    class Params(Upsampler.Params):
        type: Literal["nearest"] = "nearest"

    gain = 2.0

    def __call__(self, x: Tensor) -> Tensor:
        return repeat(x, "b c h w -> b c (h 2) (w 2)")

    def noise_scale(self, height: int, width: int) -> float:
        return math.sqrt(3)

    def shape_noise(self, white: Tensor) -> Tensor:
        """Unit variance and correlation -1/3 within each block: white noise less its block mean, rescaled."""
        mean = reduce(white, "b c (h 2) (w 2) -> b c h w", "mean")
        return math.sqrt(4 / 3) * (white - self(mean))


class NearestDown(Downsampler):
    """Keeps the top-left pixel of each 2x2 block; aliases, and is here for ablations."""

    class Params(Downsampler.Params):
        type: Literal["nearest"] = "nearest"

    def __call__(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2]
