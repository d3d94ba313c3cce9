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


class OfficialGrid(Grid):
    """The release's grid: N points from 0 to 0.999, then 1; the last of N evaluations buys a step of 0.001."""

    class Params(Grid.Params):
        type: Literal["official"] = "official"
        shift: float = Field(default=1.0, gt=0)
        """The release's timestep shift, ``tau / (shift + (1 - shift) * tau)``; above 1 more steps lie early."""

    params: Params

    def points(self, steps: int) -> list[float]:
        times = [0.999 * index / max(steps - 1, 1) for index in range(steps)]
        shift = self.params.shift
        return [tau / (shift + (1 - shift) * tau) for tau in times] + [1.0]
