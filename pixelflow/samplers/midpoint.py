"""The explicit midpoint method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class Midpoint(Sampler):
    """Second order, two evaluations a step."""

    order = 2
    nfe_per_step = 2

    class Params(Sampler.Params):
        type: Literal["midpoint"] = "midpoint"

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        for now, after in pairwise(points):
            step = after - now
            middle = x + step / 2 * field(x, now)
            x = field.stepped(x + step * field(middle, now + step / 2), after)
        return x
