"""A weighting that is largest in the middle of each stage."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Weighting
from pixelflow.core.schedule import Stage


class CosineWeighting(Weighting):
    """``1 - depth * cos(2 pi tau)``, whose mean over a stage is 1."""

    class Params(Weighting.Params):
        type: Literal["lessons.cosine"] = "lessons.cosine"
        depth: float = Field(default=0.5, ge=0, le=1)
        """0 leaves all times alike; with 1 the ends of a stage do not count."""

    params: Params

    def weights(self, tau: Tensor, stage: Stage) -> Tensor:
        return 1 - self.params.depth * torch.cos(2 * math.pi * tau)
