"""Autoguidance: away from a weaker model's velocity (arXiv 2406.02507)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Branches, Guidance, Velocity
from pixelflow.core.schedule import Stage


class Autoguidance(Guidance):
    """``v_weak + w (v - v_weak)``; the weak model is a smaller or earlier run of the same cascade."""

    class Params(Guidance.Params):
        type: Literal["autoguidance"] = "autoguidance"
        scale: float = Field(default=2.0, ge=0)
        """Weight w; 1 is no guidance."""

    params: Params

    @property
    def uses_null(self) -> bool:
        return False

    @property
    def uses_weak(self) -> bool:
        return self.params.scale != 1

    def guide(self, branches: Branches) -> Velocity:
        weight = self.params.scale
        if weight == 1:
            return branches.conditional
        if weight == 0:
            return branches.weak

        def guided(x: Tensor, tau: float) -> Tensor:
            weak = branches.weak(x, tau)
            return weak + weight * (branches.conditional(x, tau) - weak)

        return guided

    def nfe(self, stage: Stage, tau: float) -> int:
        return 1 if self.params.scale in (0, 1) else 2
