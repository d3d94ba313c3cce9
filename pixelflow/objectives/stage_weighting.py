"""Stages that count more than others."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Weighting
from pixelflow.core.problems import problem
from pixelflow.core.schedule import Stage


class StageWeighting(Weighting):
    """One factor a stage; unlike ``stage_mix`` it leaves the number of its images alone."""

    class Params(Weighting.Params):
        type: Literal["by_stage"] = "by_stage"
        factors: tuple[Annotated[float, Field(ge=0)], ...] | None = Field(default=None)
        """One a stage, coarse to fine; by default the inverse of the squared stage's length on the time axis, which
        makes the errors of all stages those of a velocity on the axis from noise to data."""

        def check(self, stages: int) -> None:
            if self.factors is not None and (len(self.factors) != stages or not any(self.factors)):
                raise problem(f"needs {stages} factors, one a stage, not all 0", "factors")

    params: Params

    def weights(self, tau: Tensor, stage: Stage) -> Tensor:
        factors = self.params.factors
        factor = (stage.end - stage.start) ** -2 if factors is None else factors[stage.index]
        return torch.full_like(tau, factor)
