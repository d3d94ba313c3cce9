"""Training times spread evenly over each stage."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pixelflow.core.interfaces import Times


class UniformTimes(Times):
    """tau uniform in [0, 1)."""

    class Params(Times.Params):
        type: Literal["uniform"] = "uniform"

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.rand(count, generator=generator)
