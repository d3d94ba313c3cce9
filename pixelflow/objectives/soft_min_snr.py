"""Soft min-SNR weighting (HDiT, arXiv 2401.11605) for velocities of a flow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.cascade import noise_level, signal_level
from pixelflow.core.interfaces import Weighting
from pixelflow.core.schedule import Stage


class SoftMinSnr(Weighting):
    """The loss on the clean image counts ``SNR gamma / (SNR + gamma)``: `min_snr` without its kink.

    For the squared error of the velocity this is ``gamma a^2 b^2 / (a^2 + gamma b^2) / (e - s)^2``; see `MinSnr`.
    """

    class Params(Weighting.Params):
        type: Literal["soft_min_snr"] = "soft_min_snr"
        gamma: float = Field(default=4.0, gt=0)
        """Signal-to-noise ratio about which the weight stops rising."""

    params: Params

    def weights(self, tau: Tensor, stage: Stage) -> Tensor:
        signal, noise = signal_level(stage, tau) ** 2, self.params.gamma * noise_level(stage, tau) ** 2
        return signal * noise / (signal + noise) / (stage.end - stage.start) ** 2
