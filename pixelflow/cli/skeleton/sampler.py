"""Second-order Runge-Kutta methods of two evaluations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field as Setting
from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class TwoStage(Sampler):
    """Evaluates at the start of a step and at a place within it (Butcher, Numerical Methods for ODEs, eq 232a)."""

    order = 2
    nfe_per_step = 2

    class Params(Sampler.Params):
        type: Literal["acme.two_stage"] = "acme.two_stage"
        place: float = Setting(default=2 / 3, gt=0, le=1)
        """Where in the step the second evaluation lies: 1/2 is the midpoint method, 2/3 Ralston's, 1 Heun's."""

    params: Params

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        place = self.params.place
        share = 1 / (2 * place)
        for now, after in pairwise(points):
            step = after - now
            first = field(x, now)
            second = field(x + place * step * first, now + place * step)
            x = field.stepped(x + step * ((1 - share) * first + share * second), after)
        return x
