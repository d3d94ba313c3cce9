"""Every time counts alike (the paper's choice)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pixelflow.core.interfaces import Weighting
from pixelflow.core.schedule import Stage


class NoWeighting(Weighting):
    """The squared error of the velocity as it is."""

    class Params(Weighting.Params):
        type: Literal["none"] = "none"

    def weights(self, tau: Tensor, stage: Stage) -> Tensor:
        return torch.ones_like(tau)
