"""Checks of guidance."""

from __future__ import annotations

import torch
from torch import Tensor

from pixelflow.contracts.checking import Check, expect, expect_close, expect_like
from pixelflow.contracts.partners import built_in
from pixelflow.core.cascade import Cascade
from pixelflow.core.interfaces import Guidance
from pixelflow.core.schedule import Stage

_TIMES = (0.0, 1e-3, 0.02, 0.3, 0.6, 0.9, 0.98, 0.999, 1.0)
"""With the ends, and close to them: samplers ask there too."""
_DENSE = 100
"""Times of a stage between which no guidance hides."""


class _LinearBranches:
    """Evaluations of linear velocities in place of a network's, counted; `gap` tells the branches apart."""

    def __init__(self, cascade: Cascade, stage: Stage, gap: float) -> None:
        self.stage = stage
        self.spent = 0
        self.asked: set[str] = set()
        """Which of the null condition and the weaker model were asked for."""
        self._cascade, self._gap = cascade, gap

    def conditional(self, x: Tensor, tau: float) -> Tensor:
        self.spent += 1
        return (1 - tau) * x + 0.5

    def unconditional(self, x: Tensor, tau: float) -> Tensor:
        self.asked.add("null")
        return self._away(x, tau)

    def both(self, x: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        return self.unconditional(x, tau), self.conditional(x, tau)

    def weak(self, x: Tensor, tau: float) -> Tensor:
        self.asked.add("weak")
        return self._away(x, tau)

    def _away(self, x: Tensor, tau: float) -> Tensor:
        self.spent += 1
        return (1 - tau) * x + 0.5 - self._gap * (1 + x)

    def clean_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        return self._cascade.clean_estimate(x, velocity, tau, self.stage)

    def velocity_from_clean(self, x: Tensor, clean: Tensor, tau: float) -> Tensor:
        return self._cascade.velocity_from_clean(x, clean, tau, self.stage)


def _cascade(stages: int) -> Cascade:
    return Cascade(stages, built_in("downsampler", "bilinear"), built_in("upsampler", "nearest"))


def fits_its_defaults(params: Guidance.Params) -> None:
    """``check`` refuses a number of stages with ValueError alone, and the settings fit some number."""
    fitting = 0
    for stages in range(1, 9):
        try:
            params.check(stages)
            fitting += 1
        except ValueError:
            continue
    expect(fitting > 0, "the settings fit no number of stages from 1 to 8")


def _fitting_stages(params: Guidance.Params) -> int:
    for stages in (3, 4, 2, 1, 5, 6, 7, 8):
        try:
            params.check(stages)
        except ValueError:
            continue
        return stages
    return 0


def gives_a_velocity(params: Guidance.Params) -> None:
    """A velocity of the state's shape and dtype at every stage and time."""
    guidance: Guidance = params.build()
    cascade = _cascade(_fitting_stages(params))
    for stage in cascade.stages:
        velocity = guidance.guide(_LinearBranches(cascade, stage, 0.3))
        for tau in _TIMES:
            x = torch.randn(2, 3, 8, 8)
            expect_like(velocity(x, tau), x.shape, x.dtype, f"the velocity of stage {stage.index} at {tau}")


def spends_what_it_says(params: Guidance.Params) -> None:
    """It spends exactly the network evaluations that ``nfe`` states, and over many times ``nfe_over``."""
    guidance: Guidance = params.build()
    cascade = _cascade(_fitting_stages(params))
    for stage in cascade.stages:
        for tau in _TIMES:
            branches = _LinearBranches(cascade, stage, 0.3)
            guidance.guide(branches)(torch.randn(1, 1, 8, 8), tau)
            stated, spent = guidance.nfe(stage, tau), branches.spent
            expect(spent == stated, f"at {tau} of stage {stage.index} it spends {spent} and states {stated}")
        branches = _LinearBranches(cascade, stage, 0.3)
        velocity = guidance.guide(branches)
        for tau in _TIMES:
            velocity(torch.randn(1, 1, 8, 8), tau)
        stated, spent = guidance.nfe_over(stage, _TIMES), branches.spent
        expect(spent == stated, f"at {len(_TIMES)} times of stage {stage.index} it spends {spent} and states {stated}")


def uses_the_branches_that_it_names(params: Guidance.Params) -> None:
    """It asks for the null condition, and for a weaker model, if and only if ``uses_null`` and ``uses_weak`` say so."""
    guidance: Guidance = params.build()
    asked: set[str] = set()
    for stage in _cascade(_fitting_stages(params)).stages:
        branches = _LinearBranches(_cascade(stage.count), stage, 0.3)
        velocity = guidance.guide(branches)
        for step in range(_DENSE):
            velocity(torch.zeros(1, 1, 2, 2), step / _DENSE)
        asked |= branches.asked
    for name, is_used in (("null", guidance.uses_null), ("weak", guidance.uses_weak)):
        never = "" if name in asked else "never "
        expect((name in asked) == is_used, f"uses_{name} is {is_used}, but it {never}asks for that branch")


def leaves_agreement_alone(params: Guidance.Params) -> None:
    """Where all branches agree there is nothing to guide: the velocity is theirs."""
    guidance: Guidance = params.build()
    cascade = _cascade(_fitting_stages(params))
    stage = cascade.stages[-1]
    branches = _LinearBranches(cascade, stage, 0.0)
    velocity = guidance.guide(branches)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for tau in _TIMES:
        guided = velocity(x, tau)
        expect_close(guided, branches.conditional(x, tau), 1e-6, f"at {tau} equal branches give another velocity")


CHECKS: tuple[Check, ...] = (
    fits_its_defaults,
    gives_a_velocity,
    spends_what_it_says,
    uses_the_branches_that_it_names,
    leaves_agreement_alone,
)
