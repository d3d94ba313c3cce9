"""A weighting that prefers the end of each stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Weighting
from pixelflow.core.schedule import Stage


class LateWeighting(Weighting):
    """``(1 + power) * tau ** power``, whose mean over a stage is 1."""

    class Params(Weighting.Params):
        type: Literal["acme.late"] = "acme.late"
        power: float = Field(default=1.0, ge=0)
        """0 leaves all times alike; the larger, the later."""

    params: Params

    def weights(self, tau: Tensor, stage: Stage) -> Tensor:
        return (1 + self.params.power) * tau**self.params.power
