"""DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2) on the straight path of a stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class DPMSolverPP2M(Sampler):
    """Second order, one evaluation a step: extrapolates the estimate of the stage's end, not the velocity.

    Within a stage ``x_tau = tau X1 + (1 - tau) X0``, so the paper's data prediction is the estimate
    ``E = x + (1 - tau) v`` of X1, with alpha = tau and sigma = 1 - tau, and its integral of a constant E is Euler's
    step. The paper extrapolates E along ``log(alpha / sigma)``, which is infinite at both ends of a stage and there
    costs the second order. E moves like ``dE = (1 - tau) dv``, so it is extrapolated along ``sigma^2`` here: the
    integral is then the square of the step, finite and of second order up to both ends.
    """

    order = 2
    nfe_per_step = 1

    class Params(Sampler.Params):
        type: Literal["dpmpp_2m"] = "dpmpp_2m"

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        last_end, last_time = None, 0.0
        for now, after in pairwise(points):
            step, velocity = after - now, field(x, now)
            end = x + (1 - now) * velocity
            x = x + step * velocity
            if last_end is not None:
                x = x + step**2 / ((1 - last_time) ** 2 - (1 - now) ** 2) * (end - last_end)
            x = field.stepped(x, after)
            last_end, last_time = end, now
        return x
