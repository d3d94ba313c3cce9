"""clean-fid's resizing (Parmar et al., arXiv 2104.11222), by its own code: the one seam to it.

Only its functions for arrays are called. Those for folders fail on brackets in a path and on one corrupt file, read
with a fixed number of workers, and keep statistics inside the installed package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelflow.core import torchvision_compat

Mode = Literal["clean", "legacy_pytorch"]
"""clean-fid's own names for how it resizes to its network's 299 pixels."""


def resized(images: Tensor, mode: Mode) -> Tensor:
    """(b c h w) in [-1, 1] -> (b 3 299 299) in [-1, 1]: rounded to 8 bits, then resized as clean-fid does."""
    resize = _resizer(mode)
    pixels = ((images.cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).expand(-1, 3, -1, -1)
    arrays = [resize(image.permute(1, 2, 0).numpy()) for image in pixels]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1


def _resizer(mode: Mode) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    torchvision_compat.make_importable()
    from cleanfid import resize

    made: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = resize.build_resizer(mode)
    return made
