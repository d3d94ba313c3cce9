"""A time grid that grows by a power."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelflow.core.interfaces import Grid


class PowerGrid(Grid):
    """``(i / steps) ** exponent``."""

    class Params(Grid.Params):
        type: Literal["acme.power"] = "acme.power"
        exponent: float = Field(default=1.5, gt=0)
        """Above 1 the first steps of a stage are the shortest."""

    params: Params

    def points(self, steps: int) -> list[float]:
        return [(index / steps) ** self.params.exponent for index in range(steps + 1)]
