"""Distillation of guidance: one evaluation that gives what a teacher needs two for (arXiv 2210.03142)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Objective, Work
from pixelflow.core.teacher import AnyTeacher, Teacher


class GuidedTeacher(Objective):
    """The network follows a teacher's guided velocity in place of the data's."""

    class Params(Objective.Params):
        type: Literal["lessons.guided"] = "lessons.guided"
        teacher: AnyTeacher = Field(default="ema")
        """A run, or ``ema`` for the average of the weights that are trained."""
        guidance: float = Field(default=1.5, ge=0)
        """Weight of the teacher's classifier-free guidance."""

        @property
        def second_network(self) -> Teacher | Literal["ema"] | None:
            return self.teacher

    params: Params

    def forward(self, work: Work) -> list[Tensor]:
        wanted = self.teacher(work, guidance=self.params.guidance).velocities
        found = self.network(work).velocities
        return [(one - other).square().mean((1, 2, 3)) for one, other in zip(found, wanted, strict=True)]
