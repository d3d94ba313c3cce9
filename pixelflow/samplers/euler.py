"""Euler's method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class Euler(Sampler):
    """First order, one evaluation a step."""

    order = 1
    nfe_per_step = 1

    class Params(Sampler.Params):
        type: Literal["euler"] = "euler"

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        for now, after in pairwise(points):
            x = field.stepped(x + (after - now) * field(x, now), after)
        return x
