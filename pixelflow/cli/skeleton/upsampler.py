"""Doubling between nearest and bilinear. Only ``__call__`` is given: gain and renoising are derived from it."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import repeat
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Upsampler


class Soft(Upsampler):
    """Repeats each pixel in a 2x2 block, then blurs with (s, 1 - 2s, s) along both axes."""

    class Params(Upsampler.Params):
        type: Literal["acme.soft"] = "acme.soft"
        softness: float = Field(default=0.125, ge=0, le=0.25)
        """Weight s of each neighbour; 0 is nearest, 0.25 bilinear."""

    params: Params

    def __call__(self, x: Tensor) -> Tensor:
        side = self.params.softness
        weights = x.new_tensor([side, 1 - 2 * side, side])
        kernel = repeat(torch.outer(weights, weights), "h w -> c 1 h w", c=x.shape[1])
        blocks = repeat(x, "b c h w -> b c (h 2) (w 2)")
        return F.conv2d(F.pad(blocks, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
