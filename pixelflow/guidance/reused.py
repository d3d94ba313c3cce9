"""Guidance that asks for the null branch now and then, as it changes slowly (FasterCache, arXiv 2410.19355)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.component import Count
from pixelflow.core.interfaces import Branches, Guidance, Velocity
from pixelflow.core.problems import problem
from pixelflow.core.schedule import Stage
from pixelflow.core.slots import Slot
from pixelflow.guidance.of_another import OfAnother


class ReusedGuidance(OfAnother):
    """Another guidance, for which the difference of both branches is kept over some evaluations.

    Between, only the conditional branch is evaluated: half the arithmetic. Every stage begins with both. The difference
    stays as it was, or goes on along the line through its last two times.
    """

    class Params(OfAnother.Params):
        type: Literal["reused"] = "reused"
        every: Count | tuple[Count, ...] = Field(default=2)
        """Guided evaluations for which one difference serves, at all stages or in a list at each; 1 reuses nothing."""
        extrapolated: bool = False
        """Whether it goes on in time as it did between the last two evaluations of both, as soon as there are two."""
        guidance: Annotated[Guidance.Params, Slot("guidance")] = Field(default="constant")  # type: ignore[assignment]
        """The guidance that is led by it."""

        def check(self, stages: int) -> None:
            super().check(stages)
            if not isinstance(self.every, int) and len(self.every) != stages:
                raise problem(f"has {len(self.every)} entries for {stages} stages", "every")

        def at(self, stage: Stage) -> int:
            """How many evaluations share one difference at a stage."""
            return self.every if isinstance(self.every, int) else self.every[stage.index]

    params: Params

    def guide(self, branches: Branches) -> Velocity:
        return self._inner.guide(_Reusing(branches, self.params))

    def nfe(self, stage: Stage, tau: float) -> int:
        return self._inner.nfe(stage, tau)

    def nfe_over(self, stage: Stage, times: Sequence[float]) -> int:
        each = [self._inner.nfe(stage, tau) for tau in times]
        pairs = 0 if self.uses_weak else sum(spent == 2 for spent in each)
        return sum(each) - pairs + -(-pairs // self.params.at(stage))


class _Reusing:
    """The branches of one stage; `both` evaluates both every so often."""

    def __init__(self, branches: Branches, settings: ReusedGuidance.Params) -> None:
        self.stage = branches.stage
        self._branches, self._every, self._is_extrapolated = (
            branches,
            settings.at(branches.stage),
            settings.extrapolated,
        )
        self._asked = 0
        self._known: list[tuple[float, Tensor]] = []
        """The last times at which both were evaluated, and their differences (b c h w)."""

    def both(self, x: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        self._asked += 1
        if (self._asked - 1) % self._every == 0:
            null, conditional = self._branches.both(x, tau)
            before = [one for one in self._known[-1:] if one[0] < tau and self._is_extrapolated]
            self._known = [*before, (tau, conditional - null)]
            return null, conditional
        conditional = self._branches.conditional(x, tau)
        return conditional - self._difference(tau), conditional

    def _difference(self, tau: float) -> Tensor:
        time, newest = self._known[-1]
        if len(self._known) == 1:
            return newest
        last_time, last = self._known[0]
        return newest + (tau - time) / (time - last_time) * (newest - last)

    def conditional(self, x: Tensor, tau: float) -> Tensor:
        return self._branches.conditional(x, tau)

    def unconditional(self, x: Tensor, tau: float) -> Tensor:
        return self._branches.unconditional(x, tau)

    def weak(self, x: Tensor, tau: float) -> Tensor:
        return self._branches.weak(x, tau)

    def clean_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        return self._branches.clean_estimate(x, velocity, tau)

    def velocity_from_clean(self, x: Tensor, clean: Tensor, tau: float) -> Tensor:
        return self._branches.velocity_from_clean(x, clean, tau)
