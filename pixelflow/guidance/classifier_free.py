"""Classifier-free guidance (arXiv 2207.12598): none, constant, and stage-wise (PixelFlow section 4.3)."""

from __future__ import annotations

from bisect import bisect
from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Branches, Guidance, Velocity
from pixelflow.core.problems import problem
from pixelflow.core.schedule import Stage


def combined(branches: Branches, weight: float) -> Velocity:
    """``v_null + weight * (v_cond - v_null)``, without the evaluations that the weight makes useless."""
    if weight == 1:
        return branches.conditional
    if weight == 0:
        return branches.unconditional

    def guided(x: Tensor, tau: float) -> Tensor:
        null, conditional = branches.both(x, tau)
        return null + weight * (conditional - null)

    return guided


def combined_nfe(weight: float) -> int:
    """Network function evaluations that one of `combined` takes."""
    return 1 if weight in (0, 1) else 2


class NoGuidance(Guidance):
    """The conditional velocity as it is."""

    class Params(Guidance.Params):
        type: Literal["none"] = "none"

    @property
    def uses_null(self) -> bool:
        return False

    def guide(self, branches: Branches) -> Velocity:
        return branches.conditional

    def nfe(self, stage: Stage, tau: float) -> int:
        return 1


class ConstantGuidance(Guidance):
    """One weight at every stage."""

    class Params(Guidance.Params):
        type: Literal["constant"] = "constant"
        scale: float = Field(default=1.5, ge=0)
        """Weight w; 1 is no guidance."""

    params: Params

    @property
    def uses_null(self) -> bool:
        return self.params.scale != 1

    def guide(self, branches: Branches) -> Velocity:
        return combined(branches, self.params.scale)

    def nfe(self, stage: Stage, tau: float) -> int:
        return combined_nfe(self.params.scale)


class StagewiseGuidance(Guidance):
    """A weight that rises from stage to stage: ``1 + (scale - 1) * share``."""

    class Params(Guidance.Params):
        type: Literal["stagewise"] = "stagewise"
        scale: float = Field(default=2.4, ge=0)
        """Weight of the last stage."""
        shares: tuple[float, ...] | None = None
        """Share of ``scale - 1`` that each stage gets, coarse to fine; by default the paper's curve."""

        def check(self, stages: int) -> None:
            if self.shares is not None and len(self.shares) != stages:
                raise problem(f"has {len(self.shares)} entries for {stages} stages", "shares")

    params: Params

    @property
    def uses_null(self) -> bool:
        return self.params.scale != 1 and (self.params.shares is None or any(self.params.shares))

    def guide(self, branches: Branches) -> Velocity:
        return combined(branches, self.weight(branches.stage))

    def nfe(self, stage: Stage, tau: float) -> int:
        return combined_nfe(self.weight(stage))

    def weight(self, stage: Stage) -> float:
        """The weight of one stage."""
        shares = self.params.shares or paper_shares(stage.count)
        return 1 + (self.params.scale - 1) * shares[stage.index]


def paper_shares(stages: int) -> tuple[float, ...]:
    """The paper's shares 0, 1/6, 2/3, 1 of four stages, read as a line over the cascade and resampled.

    Stage s of S lies at s/(S-1), so the first stage is never guided and the last fully; one stage is the last.
    """
    knots = ((0.0, 0.0), (1 / 3, 1 / 6), (2 / 3, 2 / 3), (1.0, 1.0))
    if stages == 1:
        return (1.0,)
    if stages == len(knots):
        return tuple(share for _, share in knots)
    return tuple(_interpolate(knots, stage / (stages - 1)) for stage in range(stages))


def _interpolate(knots: tuple[tuple[float, float], ...], position: float) -> float:
    right = min(bisect([x for x, _ in knots], position), len(knots) - 1)
    (x0, y0), (x1, y1) = knots[right - 1], knots[right]
    return y0 + (y1 - y0) * (position - x0) / (x1 - x0)
