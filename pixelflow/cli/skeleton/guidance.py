"""Guidance that rises within each stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Branches, Guidance, Velocity
from pixelflow.core.schedule import Stage


class RampGuidance(Guidance):
    """``v_null + w * (v_cond - v_null)`` with w rising from 1 to ``scale`` over the stage."""

    class Params(Guidance.Params):
        type: Literal["acme.ramp"] = "acme.ramp"
        scale: float = Field(default=2.0, ge=0)
        """Weight at the stage's end; 1 is no guidance."""

    params: Params

    def guide(self, branches: Branches) -> Velocity:
        def guided(x: Tensor, tau: float) -> Tensor:
            weight = self._weight(tau)
            if weight == 1:
                return branches.conditional(x, tau)
            null, conditional = branches.both(x, tau)
            return null + weight * (conditional - null)

        return guided

    def nfe(self, stage: Stage, tau: float) -> int:
        return 1 if self._weight(tau) == 1 else 2

    def _weight(self, tau: float) -> float:
        return 1 + (self.params.scale - 1) * tau
