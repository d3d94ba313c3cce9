"""Time grids for fixed-step samplers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelflow.core.interfaces import Grid


class UniformGrid(Grid):
    """Equal steps."""

    class Params(Grid.Params):
        type: Literal["uniform"] = "uniform"

    def points(self, steps: int) -> list[float]:
        return [index / steps for index in range(steps + 1)]


class ShiftedGrid(Grid):
    """Equal steps, shifted: ``tau / (shift + (1 - shift) * tau)`` (Stable Diffusion 3, arXiv 2403.03206, Eq 23)."""

    class Params(Grid.Params):
        type: Literal["shifted"] = "shifted"
        shift: float = Field(default=2.0, gt=0)
        """Above 1 more steps lie early in the stage, below 1 more lie late."""

    params: Params

    def points(self, steps: int) -> list[float]:
        return [_shifted(index / steps, self.params.shift) for index in range(steps + 1)]


class OfficialGrid(Grid):
    """The release's grid: N points from 0 to 0.999, then 1; the last of N evaluations buys a step of 0.001."""

    class Params(Grid.Params):
        type: Literal["official"] = "official"
        shift: float = Field(default=1.0, gt=0)
        """The release's timestep shift, ``tau / (shift + (1 - shift) * tau)``; above 1 more steps lie early."""

    params: Params

    def points(self, steps: int) -> list[float]:
        times = [0.999 * index / max(steps - 1, 1) for index in range(steps)]
        return [_shifted(tau, self.params.shift) for tau in times] + [1.0]


def _shifted(tau: float, shift: float) -> float:
    return tau / (shift + (1 - shift) * tau)
