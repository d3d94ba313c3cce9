"""The dual four-point scheme (Dyn, Floater, Hormann, A C2 four-point subdivision scheme, 2005)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from pixelflow.core.interfaces import Upsampler

_WEIGHTS = (-7 / 128, 105 / 128, 35 / 128, -5 / 128)
"""The cubic through values at -1, 0, 1, 2, read at 1/4; mirrored for 3/4."""


class DualFourPoint(Upsampler):
    """Each new pixel lies on the cubic through the four nearest pixels of its row, then of its column."""

    class Params(Upsampler.Params):
        type: Literal["fourpoint.dual"] = "fourpoint.dual"

    def __call__(self, x: Tensor) -> Tensor:
        return _doubled(_doubled(x).mT).mT


def _doubled(x: Tensor) -> Tensor:
    """(b c h w) -> (b c h 2w)

    Between pixels i and i+1 lie the new ones at i + 1/4 and i + 3/4; the first and last half pixel are cut off.
    """
    kernel = x.new_tensor([_WEIGHTS, _WEIGHTS[::-1]])
    rows = F.pad(rearrange(x, "b c h w -> (b c) h w"), (2, 2), mode="replicate")
    pairs = F.conv1d(rearrange(rows, "n h w -> (n h) 1 w"), rearrange(kernel, "two k -> two 1 k"))
    new = rearrange(pairs, "n two w -> n (w two)")[:, 1:-1]
    return rearrange(new, "(b c h) w -> b c h w", b=x.shape[0], c=x.shape[1])
