"""Dormand and Prince's adaptive solver of order 5, from torchdiffeq (the paper's Table 3b)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from pydantic import Field as Setting
from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class Dopri5(Sampler):
    """Adaptive. Its step size follows the error over the whole batch, so a sample depends on its neighbours.

    The grid's points do not cost evaluations: the solver steps as the tolerances ask and interpolates.
    """

    order = 5
    evaluations_per_step = math.nan
    is_adaptive = True

    class Params(Sampler.Params):
        type: Literal["dopri5"] = "dopri5"
        rtol: float = Setting(default=1e-3, gt=0)
        """Relative tolerance."""
        atol: float = Setting(default=1e-6, gt=0)
        """Absolute tolerance."""

    params: Params

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        from torchdiffeq import odeint

        times = torch.tensor([points[0], points[-1]], device=x.device, dtype=x.dtype)
        return odeint(
            lambda t, state: field(state, float(t)),
            x,
            times,
            rtol=self.params.rtol,
            atol=self.params.atol,
            method="dopri5",
        )[-1]
