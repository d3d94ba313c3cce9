"""The classical Runge-Kutta method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class RK4(Sampler):
    """Fourth order, four evaluations a step.

    A step to the clean image takes three, before its end: Ralston's method of third order (Math. Comp. 16, 1962), whose
    one step has an error of fourth order. Why: see `heun`.
    """

    order = 4
    nfe_per_step = 4
    revision = 2  # the first evaluated at the clean image too

    class Params(Sampler.Params):
        type: Literal["rk4"] = "rk4"

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        for now, after in pairwise(points):
            step, middle = after - now, (now + after) / 2
            first = field(x, now)
            second = field(x + step / 2 * first, middle)
            if field.noise_level(after) == 0:
                third = field(x + step * 3 / 4 * second, now + step * 3 / 4)
                x = field.stepped(x + step / 9 * (2 * first + 3 * second + 4 * third), after)
                continue
            third = field(x + step / 2 * second, middle)
            fourth = field(x + step * third, after)
            x = field.stepped(x + step / 6 * (first + 2 * second + 2 * third + fourth), after)
        return x
