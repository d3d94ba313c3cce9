"""Halving by binomial weights."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import repeat
from torch import Tensor

from pixelflow.core.interfaces import Downsampler


class Binomial(Downsampler):
    """Each pixel is a mean over 4x4 pixels, with weights (1, 3, 3, 1)/8 along both axes."""

    class Params(Downsampler.Params):
        type: Literal["acme.binomial"] = "acme.binomial"

    def __call__(self, x: Tensor) -> Tensor:
        weights = x.new_tensor([1, 3, 3, 1]) / 8
        kernel = repeat(torch.outer(weights, weights), "h w -> c 1 h w", c=x.shape[1])
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=x.shape[1])
