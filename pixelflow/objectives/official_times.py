"""The release's training times."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pixelflow.core.interfaces import Times
from pixelflow.core.schedule import TRAIN_TIMESTEPS


class OfficialTimes(Times):
    """tau = i / 1000 with i uniform in 0..999."""

    class Params(Times.Params):
        type: Literal["official"] = "official"

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(TRAIN_TIMESTEPS, (count,), generator=generator) / TRAIN_TIMESTEPS
