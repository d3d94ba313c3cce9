"""Adaptive Runge-Kutta solvers, from torchdiffeq."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from pydantic import Field as Setting
from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class AdaptiveSolver(Sampler):
    """Takes its own steps between the ends of a stage, by an estimate of the error over the whole batch.

    So a sample depends slightly on its neighbours, and the grid's points in between do not matter.
    The name of the component is the name of torchdiffeq's method.
    """

    evaluations_per_step = math.nan
    is_adaptive = True

    class Params(Sampler.Params):
        rtol: float = Setting(default=1e-3, gt=0)
        """Relative tolerance."""
        atol: float = Setting(default=1e-6, gt=0)
        """Absolute tolerance."""

    params: Params

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        from torchdiffeq import odeint

        times = torch.tensor([points[0], points[-1]], device=x.device, dtype=x.dtype)
        tolerances = {"rtol": self.params.rtol, "atol": self.params.atol}
        states = odeint(lambda t, state: field(state, float(t)), x, times, **tolerances, method=self.type_name())
        return states[-1]


class Bosh3(AdaptiveSolver):
    """Bogacki and Shampine's solver; three evaluations for each step that it tries."""

    order = 3

    class Params(AdaptiveSolver.Params):
        type: Literal["bosh3"] = "bosh3"


class Dopri8(AdaptiveSolver):
    """Dormand and Prince's solver of order 8; thirteen evaluations for each step that it tries."""

    order = 8

    class Params(AdaptiveSolver.Params):
        type: Literal["dopri8"] = "dopri8"


class AdaptiveHeun(AdaptiveSolver):
    """Heun's method with the error taken from Euler's; one evaluation for each step that it tries."""

    order = 2

    class Params(AdaptiveSolver.Params):
        type: Literal["adaptive_heun"] = "adaptive_heun"


class Fehlberg2(AdaptiveSolver):
    """Fehlberg's solver of order 2; two evaluations for each step that it tries."""

    order = 2

    class Params(AdaptiveSolver.Params):
        type: Literal["fehlberg2"] = "fehlberg2"
