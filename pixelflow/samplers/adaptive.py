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

    nfe_per_step = math.nan
    is_adaptive = True

    class Params(Sampler.Params):
        rtol: float = Setting(default=1e-3, gt=0)
        """Relative tolerance."""
        atol: float = Setting(default=1e-6, gt=0)
        """Absolute tolerance."""

    params: Params

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        from torchdiffeq import odeint

        tolerances = {"rtol": self.params.rtol, "atol": self.params.atol}
        start, end = points[0], points[-1]
        while True:
            times = torch.tensor([start, end], device=x.device, dtype=torch.float64)
            try:
                states = odeint(_Watched(field, start), x, times, **tolerances, method=self.type_name())
            except _ChangedError as changed:
                x, start = changed.state, changed.tau
            else:
                return field.stepped(states[-1], end)


class _ChangedError(Exception):
    """The state was changed between two steps, so the solver's own memory of it is out of date."""

    def __init__(self, state: Tensor, tau: float) -> None:
        super().__init__()
        self.state, self.tau = state, tau


class _Watched:
    """A field as torchdiffeq calls it; the state of every accepted step is handed over before the next is tried."""

    def __init__(self, field: Field, start: float) -> None:
        self._field, self._seen = field, start

    def __call__(self, t: Tensor, state: Tensor) -> Tensor:
        return self._field(state, float(t))

    def callback_step(self, t: Tensor, state: Tensor, step: Tensor) -> None:
        tau = float(t)
        if tau <= self._seen:
            return  # the first step, or one that is tried again, shorter
        self._seen = tau
        changed = self._field.stepped(state, tau)
        if changed is not state:
            raise _ChangedError(changed, tau)


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
