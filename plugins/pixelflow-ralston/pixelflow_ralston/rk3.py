"""Explicit Runge-Kutta methods of order 3 with 3 evaluations a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from pydantic import Field as Setting
from pydantic import model_validator
from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler
from pixelflow.core.problems import problem


class Tableau(NamedTuple):
    """The coefficients that are left to find once the places are chosen."""

    third_from_second: float
    weights: tuple[float, float, float]


def tableau(second: float, third: float) -> Tableau:
    """Solve the conditions of order 3.

    With c2 = second, c3 = third: sum b = 1, b2 c2 + b3 c3 = 1/2, b2 c2^2 + b3 c3^2 = 1/3, b3 a32 c2 = 1/6.
    Source: Ralston, Runge-Kutta methods with minimum error bounds (Math. Comp. 16, 1962), section 3.
    """
    b2 = (3 * third - 2) / (6 * second * (third - second))
    b3 = (2 - 3 * second) / (6 * third * (third - second))
    return Tableau(1 / (6 * b3 * second), (1 - b2 - b3, b2, b3))


class RungeKutta3(Sampler):
    """Third order in three evaluations; 1/2 and 3/4 are Ralston's, 1/3 and 2/3 Heun's, 1/2 and 1 Kutta's."""

    order = 3
    nfe_per_step = 3

    class Params(Sampler.Params):
        type: Literal["ralston.rk3"] = "ralston.rk3"
        second: float = Setting(default=0.5, gt=0, le=1)
        """Where in the step the second evaluation lies; neither 2/3 nor where the third lies."""
        third: float = Setting(default=0.75, gt=0, le=1)
        """Where in the step the third evaluation lies."""

        @model_validator(mode="after")
        def _solvable(self) -> RungeKutta3.Params:
            if abs(self.second - 2 / 3) < 1e-3:
                raise problem("no method of order 3 has its second evaluation at 2/3; use 1/2", "second")
            if abs(self.third - self.second) < 1e-3:
                raise problem("must differ from 'second'; use 3/4 with 1/2", "third")
            return self

    params: Params

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        c2, c3 = self.params.second, self.params.third
        a32, (b1, b2, b3) = tableau(c2, c3)
        for now, after in pairwise(points):
            step = after - now
            k1 = field(x, now)
            k2 = field(x + step * c2 * k1, now + c2 * step)
            k3 = field(x + step * ((c3 - a32) * k1 + a32 * k2), now + c3 * step)
            x = field.stepped(x + step * (b1 * k1 + b2 * k2 + b3 * k3), after)
        return x
