"""Sigmoid weighting (arXiv 2303.00848; arXiv 2410.19324) for velocities of a flow."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.cascade import noise_level, signal_level
from pixelflow.core.interfaces import Weighting
from pixelflow.core.schedule import Stage


class SigmoidWeighting(Weighting):
    """The evidence lower bound, whose integrand over the log-SNR ``l`` counts ``sigmoid(bias - l)``.

    The bound integrates the squared error of the noise, ``(a / (e - s))^2`` times that of the velocity, over ``l``,
    which rises by ``2 (e - s) / (a b)`` with tau. So the squared error of the velocity counts
    ``2 a / b sigmoid(bias - l) / (e - s) = 2 a b / (b^2 + a^2 exp(-bias)) / (e - s)``.
    """

    class Params(Weighting.Params):
        type: Literal["sigmoid"] = "sigmoid"
        bias: float = Field(default=-1.0, ge=-10, le=10)
        """Log-SNR about which the weight falls; lower values leave detail to larger images."""

    params: Params

    def weights(self, tau: Tensor, stage: Stage) -> Tensor:
        signal, noise = signal_level(stage, tau), noise_level(stage, tau)
        return 2 * signal * noise / (noise**2 + signal**2 * math.exp(-self.params.bias)) / (stage.end - stage.start)
