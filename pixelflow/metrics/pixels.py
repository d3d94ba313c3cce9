"""Images as pretrained networks want them: 8-bit values, resized as each protocol resizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pixelflow.system import torchvision_compat
from pixelflow.system.distribution import install
from pixelflow.system.errors import MissingDependencyError

CleanFidMode = Literal["clean", "legacy_pytorch"]
"""clean-fid's own names for how it resizes: antialiased bicubic, or bilinear as pytorch-fid did."""


def to_8_bits(images: Tensor) -> Tensor:
    """(b c h w) in [-1, 1] -> (b 3 h w), whole values from 0 to 255, float32; grey becomes colour."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().expand(-1, 3, -1, -1)


def to_pictures(images: Tensor) -> list[Image.Image]:
    """(b c h w) in [-1, 1] -> pictures in colour."""
    arrays = to_8_bits(images).to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(array) for array in arrays]


def resized_by_clean_fid(images: Tensor, mode: CleanFidMode = "clean") -> Tensor:
    """(b c h w) in [-1, 1] -> (b 3 299 299) from 0 to 255, by clean-fid's own code (arXiv 2104.11222)."""
    resize = _resizer(mode)
    arrays = to_8_bits(images).to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(np.stack([resize(array) for array in arrays])).permute(0, 3, 1, 2)


@cache
def _resizer(mode: CleanFidMode) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    made: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = clean_fid("resize").build_resizer(mode)
    return made


def clean_fid(module: str) -> ModuleType:
    """A module of clean-fid; raises MissingDependencyError where the package is not installed."""
    torchvision_compat.make_importable()
    try:
        return import_module(f"cleanfid.{module}")
    except ImportError:
        raise MissingDependencyError(
            f"images are resized by the package clean-fid, which is not installed: {install('fid')}"
        ) from None


def resized_by_tensorflow(values: Tensor, side: int) -> Tensor:
    """(b c h w) -> (b c side side) as TensorFlow 1's ResizeBilinear: corners at 0, no antialiasing."""
    rows, columns = (_interpolation(length, side).to(values) for length in values.shape[-2:])
    return rows @ values @ columns.mT


def _interpolation(length: int, side: int) -> Tensor:
    """(side length): output ``i`` lies at ``i * length / side``, between the two values next to it."""
    position = torch.arange(side, dtype=torch.float64) * length / side
    below = position.floor().long()
    share = position - below
    matrix, rows = torch.zeros(side, length, dtype=torch.float64), torch.arange(side)
    matrix.index_put_((rows, below), 1 - share, accumulate=True)
    matrix.index_put_((rows, (below + 1).clamp(max=length - 1)), share, accumulate=True)
    return matrix
