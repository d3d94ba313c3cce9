"""Min-SNR weighting (arXiv 2303.09556) for velocities of a flow."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelflow.core.cascade import noise_level, signal_level
from pixelflow.core.interfaces import Weighting
from pixelflow.core.schedule import Stage


class MinSnr(Weighting):
    """The loss on the clean image counts ``min(SNR, gamma)``.

    With ``x = a y + b n``, ``a + b = 1`` and a velocity of ``(e - s)(y - n)``, the error of the clean image is
    ``b / (e - s)`` times that of the velocity. So the squared error of the velocity counts
    ``b^2 min(a^2 / b^2, gamma) / (e - s)^2 = min(a^2, gamma b^2) / (e - s)^2``.
    """

    class Params(Weighting.Params):
        type: Literal["min_snr"] = "min_snr"
        gamma: float = Field(default=5.0, gt=0)
        """Signal-to-noise ratio beyond which the weight rises no more."""

    params: Params

    def weights(self, tau: Tensor, stage: Stage) -> Tensor:
        signal, noise = signal_level(stage, tau) ** 2, noise_level(stage, tau) ** 2
        return torch.minimum(signal, self.params.gamma * noise) / (stage.end - stage.start) ** 2
