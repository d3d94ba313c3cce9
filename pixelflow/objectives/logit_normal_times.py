"""Training times whose logit is normal (Stable Diffusion 3, arXiv 2403.03206, Eq 19)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Times


class LogitNormalTimes(Times):
    """tau = sigmoid(mean + std * normal), so mostly the middle of each stage."""

    class Params(Times.Params):
        type: Literal["logit_normal"] = "logit_normal"
        mean: float = Field(default=0.0, ge=-10, le=10)
        """Mean of the logit; below 0 the noisy times count more."""
        std: float = Field(default=1.0, gt=0, le=10)
        """Standard deviation of the logit."""

    params: Params

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        logits = self.params.mean + self.params.std * torch.randn(count, generator=generator)
        return logits.sigmoid().clamp_max(1 - 2**-24)
