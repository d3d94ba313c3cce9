"""Heun's method (EDM, arXiv 2206.00364, algorithm 1; JiT's default, arXiv 2511.13720)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class Heun(Sampler):
    """Second order, two evaluations a step: the trapezoid between Euler's two ends."""

    order = 2
    nfe_per_step = 2

    class Params(Sampler.Params):
        type: Literal["heun"] = "heun"

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        for now, after in pairwise(points):
            step = after - now
            first = field(x, now)
            second = field(x + step * first, after)
            x = field.stepped(x + step / 2 * (first + second), after)
        return x
