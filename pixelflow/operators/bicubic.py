"""Bicubic interpolation as torch does it: antialiased down (as PIL), plain up."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from pixelflow.core.interfaces import Downsampler, Upsampler


class BicubicDown(Downsampler):
    """Halving with the kernel stretched over both pixels, so that nothing aliases."""

    class Params(Downsampler.Params):
        type: Literal["bicubic"] = "bicubic"

    def __call__(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=0.5, mode="bicubic", align_corners=False, antialias=True)


class BicubicUp(Upsampler):
    """Doubling; its gain and renoising are derived (g^2 is 4.19, so it amplifies slightly more than nearest)."""

    class Params(Upsampler.Params):
        type: Literal["bicubic"] = "bicubic"

    def __call__(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
