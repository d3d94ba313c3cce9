"""Lanczos resampling with three lobes, as a matrix along each axis."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from pixelflow.core.interfaces import Downsampler, Upsampler

_LOBES = 3


class LanczosDown(Downsampler):
    """Halving with the kernel stretched over both pixels, so that nothing aliases."""

    class Params(Downsampler.Params):
        type: Literal["lanczos"] = "lanczos"

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return _resample(x, height // 2, width // 2)


class LanczosUp(Upsampler):
    """Doubling; its gain and renoising are derived."""

    class Params(Upsampler.Params):
        type: Literal["lanczos"] = "lanczos"

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return _resample(x, 2 * height, 2 * width)


def _resample(x: Tensor, height: int, width: int) -> Tensor:
    rows = lanczos_matrix(x.shape[-2], height, x.dtype, x.device)
    columns = lanczos_matrix(x.shape[-1], width, x.dtype, x.device)
    return rows @ x @ columns.mT


@lru_cache(maxsize=64)
def lanczos_matrix(length: int, out: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix (out length) that resamples an axis; its rows add up to 1.

    The kernel is ``sinc(d) sinc(d / 3)`` for |d| < 3, with d in units of the coarser of the two grids. Pixels
    beyond the border are mirrored: a cut-off kernel would amplify there, and cost gain everywhere.
    """
    scale = length / out
    reach = math.ceil(_LOBES * max(scale, 1.0))
    pixels = torch.arange(-reach, length + reach)
    centres = (torch.arange(out, dtype=torch.float64) + 0.5) * scale
    distance = (pixels[None, :] + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = torch.sinc(distance) * torch.sinc(distance / _LOBES) * (distance.abs() < _LOBES)
    folded = pixels % (2 * length)
    mirrored = torch.minimum(folded, 2 * length - 1 - folded)
    matrix = torch.zeros(out, length, dtype=torch.float64).index_add_(1, mirrored, weights)
    return (matrix / matrix.sum(dim=1, keepdim=True)).to(device=device, dtype=dtype)
