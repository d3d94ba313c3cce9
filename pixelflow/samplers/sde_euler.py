"""A stochastic Euler method (Euler-Maruyama)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field as Setting
from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class SDEEuler(Sampler):
    """First order, one evaluation a step: Euler plus Langevin noise that leaves the states' law as it is.

    ``dx = (v + k b^2 score) dtau + b sqrt(2 k) dW`` has the law of ``dx = v dtau`` for every k (arXiv 2011.13456,
    section 4.3; SiT, arXiv 2401.08740, section 2.2). Here ``b`` is the state's noise level, its score is
    ``-n / b`` with n the noise that the velocity implies, and k is chosen so that k b is constant: the noise
    fades out where the image does not bear it. The last step is deterministic and leaves none in the image.
    """

    order = 1
    nfe_per_step = 1

    class Params(Sampler.Params):
        type: Literal["sde_euler"] = "sde_euler"
        strength: float = Setting(default=0.5, ge=0)
        """The constant k b: how much of the noise is exchanged over a stage; 0 is Euler's method."""

    params: Params

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        strength = self.params.strength
        for now, after in pairwise(points):
            step, velocity = after - now, field(x, now)
            if after == points[-1] or not strength:
                x = field.stepped(x + step * velocity, after)
                continue
            drift = velocity - strength * field.noise_estimate(x, velocity, now)
            spread = math.sqrt(2 * strength * field.noise_level(now) * step)
            x = field.stepped(x + step * drift + spread * noise(), after)
        return x
