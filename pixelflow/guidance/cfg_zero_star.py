"""CFG-Zero* (arXiv 2503.18886, algorithm 1)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Branches, Guidance, Velocity
from pixelflow.core.schedule import TRAIN_TIMESTEPS, Stage


class CFGZeroStar(Guidance):
    """Classifier-free guidance whose null velocity is scaled to fit the conditional one, after a start at rest."""

    class Params(Guidance.Params):
        type: Literal["cfg_zero_star"] = "cfg_zero_star"
        scale: float = Field(default=1.5, ge=0)
        """Weight w; 1 is no guidance, and no rest at the start either."""
        rest: float = Field(default=0.04, ge=0, lt=1)
        """Share of the whole time, from the noise on, in which the velocity is 0 (the paper's zero-init)."""

    params: Params

    @property
    def uses_null(self) -> bool:
        return self.params.scale != 1

    def guide(self, branches: Branches) -> Velocity:
        weight, stage = self.params.scale, branches.stage
        if weight == 1:
            return branches.conditional

        def guided(x: Tensor, tau: float) -> Tensor:
            if self._is_at_rest(stage, tau):
                return torch.zeros_like(x)
            null, conditional = branches.both(x, tau)
            fitted = best_scale(conditional, null) * null
            return fitted + weight * (conditional - fitted)

        return guided

    def nfe(self, stage: Stage, tau: float) -> int:
        if self.params.scale == 1:
            return 1
        return 0 if self._is_at_rest(stage, tau) else 2

    def _is_at_rest(self, stage: Stage, tau: float) -> bool:
        return stage.network_time(tau) < self.params.rest * TRAIN_TIMESTEPS


def best_scale(target: Tensor, velocity: Tensor) -> Tensor:
    """The factor (b 1 1 1) by which each image of `velocity` (b c h w) comes closest to `target`'s (Eq 5)."""
    image = (1, 2, 3)
    length = velocity.square().sum(image, keepdim=True)
    return (target * velocity).sum(image, keepdim=True) / length.clamp_min(1e-12)
