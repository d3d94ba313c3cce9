"""The mean of each 2x2 block."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from pixelflow.core.interfaces import Downsampler


class AreaDown(Downsampler):
    """Halving by averages; for a factor of 2 the same as torch's bilinear interpolation."""

    class Params(Downsampler.Params):
        type: Literal["area"] = "area"

    def __call__(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)
