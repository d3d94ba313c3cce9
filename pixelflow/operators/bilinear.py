"""Bilinear interpolation as torch does it without antialiasing; halving is then the mean of 2x2 blocks."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from pixelflow.core.interfaces import Downsampler, Upsampler


class BilinearDown(Downsampler):
    """The paper's downsampling."""

    class Params(Downsampler.Params):
        type: Literal["bilinear"] = "bilinear"

    def __call__(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)


class BilinearUp(Upsampler):
    """Doubling by bilinear interpolation."""

    class Params(Upsampler.Params):
        type: Literal["bilinear"] = "bilinear"

    gain = 2.0

    def __call__(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
