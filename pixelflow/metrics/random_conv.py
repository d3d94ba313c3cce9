"""Features of a fixed random convolutional network: no training, no download, the same everywhere."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Extractor


class RandomConv(Extractor):
    """Three strided convolutions with fixed random weights; mean and deviation of each map are the features.

    Random features rank distributions usefully where no trained network is at hand, but the distances have a
    scale of their own and must not be called FID.
    """

    is_differentiable = True

    class Params(Extractor.Params):
        type: Literal["random_conv"] = "random_conv"
        width: int = Field(default=32, ge=4)
        """Channels of the last layer; twice as many features."""
        seed: int = Field(default=0, ge=0)
        """Fixes the weights; compare only numbers of equal seed."""

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params, device=device)
        generator = torch.Generator().manual_seed(params.seed)
        widths = [3, params.width // 4, params.width // 2, params.width]
        self._kernels = [
            (torch.randn(after, before, 3, 3, generator=generator) * (2 / (9 * before)) ** 0.5).to(device)
            for before, after in pairwise(widths)
        ]

    def maps(self, images: Tensor) -> list[Tensor]:
        x, found = images.to(self.device).expand(-1, 3, -1, -1), []
        for kernel in self._kernels:
            x = F.relu(F.conv2d(x, kernel, stride=2 if min(x.shape[-2:]) > 2 else 1, padding=1))
            found.append(x)
        return found

    def features(self, images: Tensor) -> Tensor:
        x = self.maps(images)[-1]
        return torch.cat([x.mean((2, 3)), x.std((2, 3), correction=0)], dim=1)
