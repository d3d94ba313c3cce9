"""The two-step Adams-Bashforth method, on any grid (PixNerd's choice, arXiv 2507.23268)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class AdamsBashforth2(Sampler):
    """Second order, one evaluation a step.

    Extrapolates the velocity from the last two. Every stage starts anew, with an Euler step: the velocity of the
    coarser stage says nothing about this one's, whose path is another.
    """

    order = 2
    nfe_per_step = 1

    class Params(Sampler.Params):
        type: Literal["adams_bashforth2"] = "adams_bashforth2"

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        before, last_step = field(x, points[0]), points[1] - points[0]
        x = field.stepped(x + last_step * before, points[1])
        for now, after in pairwise(points[1:]):
            velocity, step = field(x, now), after - now
            x = x + step * (velocity + step / (2 * last_step) * (velocity - before))
            x = field.stepped(x, after)
            before, last_step = velocity, step
        return x
