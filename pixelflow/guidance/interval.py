"""Guidance in an interval of time only (arXiv 2404.07724)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from torch import Tensor

from pixelflow.core.interfaces import Branches, Guidance, Velocity
from pixelflow.core.problems import problem
from pixelflow.core.schedule import TRAIN_TIMESTEPS, Stage
from pixelflow.core.slots import Slot
from pixelflow.guidance.of_another import OfAnother


class IntervalGuidance(OfAnother):
    """Another guidance between two times of the whole cascade; the conditional velocity outside."""

    class Params(OfAnother.Params):
        type: Literal["interval"] = "interval"
        low: float = Field(default=0.2, ge=0, le=1)
        """Where guidance begins: the network's time over 1000, from 0 (noise) to 1 (image)."""
        high: float = Field(default=0.9, ge=0, le=1)
        """Where guidance ends."""
        guidance: Annotated[Guidance.Params, Slot("guidance")] = Field(default="constant")  # type: ignore[assignment]
        """The guidance inside the interval."""

        @model_validator(mode="after")
        def _has_length(self) -> IntervalGuidance.Params:
            if self.low >= self.high:
                raise problem(f"low {self.low} must lie below high {self.high}", "low")
            return self

    params: Params

    def guide(self, branches: Branches) -> Velocity:
        inner, stage = self._inner.guide(branches), branches.stage

        def guided(x: Tensor, tau: float) -> Tensor:
            return inner(x, tau) if self._is_inside(stage, tau) else branches.conditional(x, tau)

        return guided

    def nfe(self, stage: Stage, tau: float) -> int:
        return self._inner.nfe(stage, tau) if self._is_inside(stage, tau) else 1

    def _is_inside(self, stage: Stage, tau: float) -> bool:
        return self.params.low <= stage.network_time(tau) / TRAIN_TIMESTEPS <= self.params.high
