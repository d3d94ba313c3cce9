"""Heun's method (EDM, arXiv 2206.00364, algorithm 1; JiT's default, arXiv 2511.13720)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class Heun(Sampler):
    """Second order, two evaluations a step: the trapezoid between Euler's two ends.

    A step to the clean image is Euler's, with one evaluation, as in both sources: where no noise is left, nothing tells
    the network which noise it came from, and a velocity from there leaves half a step's noise in the image. One such
    step in a generation does not lower the order.
    """

    order = 2
    nfe_per_step = 2
    revision = 2  # the first evaluated at the clean image too

    class Params(Sampler.Params):
        type: Literal["heun"] = "heun"

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        for now, after in pairwise(points):
            step = after - now
            first = field(x, now)
            mean = first if field.noise_level(after) == 0 else (first + field(x + step * first, after)) / 2
            x = field.stepped(x + step * mean, after)
        return x
