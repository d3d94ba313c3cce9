"""Drawn images of stripes."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import BadSample, Dataset, Sample


class Stripes(Dataset):
    """Waves along one of the two axes, at a random place."""

    class Params(Dataset.Params):
        type: Literal["acme.stripes"] = "acme.stripes"
        count: int = Field(default=1000, ge=1)
        """Images in the data set."""
        waves: float = Field(default=2.0, gt=0)
        """Waves across an image."""

    params: Params
    classes = ("across", "down")

    def __init__(self, params: Params, *, height: int, width: int, channels: int) -> None:
        super().__init__(params)
        self._shape = (channels, height, width)

    def __len__(self) -> int:
        return self.params.count

    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        label = index % 2
        phase = torch.rand((), generator=generator)
        return Sample(self._waves(label, phase), label=label, caption=f"stripes {self.classes[label]}")

    def _waves(self, axis: int, phase: Tensor) -> Tensor:
        """One image (c h w)."""
        along = torch.arange(self._shape[1 + axis]) / self._shape[1 + axis]
        wave = torch.sin(2 * math.pi * (self.params.waves * along + phase))
        return (wave[:, None] if axis == 0 else wave).expand(self._shape)
