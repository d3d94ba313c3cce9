"""Adaptive projected guidance (arXiv 2410.02416, algorithm 1)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Branches, Guidance, Velocity
from pixelflow.core.schedule import Stage

_IMAGE = (1, 2, 3)
"""The axes of one image in (b c h w)."""


class APG(Guidance):
    """Guides the clean estimate across, not along, itself: high weights without over-saturation."""

    class Params(Guidance.Params):
        type: Literal["apg"] = "apg"
        scale: float = Field(default=2.4, ge=0)
        """Weight w; 1 is no guidance."""
        eta: float = Field(default=0.0, ge=0)
        """Share of the update along the conditional estimate that is kept; 1 keeps all of it."""
        threshold: float | None = Field(default=None, gt=0)
        """Largest root mean square of the update; null for none. The paper's norm over the root of the image's
        size, so that it means the same at every stage."""
        momentum: float = Field(default=-0.5, gt=-1, lt=1)
        """Share of the last update that is added; negative values push away from it."""

    params: Params

    @property
    def uses_null(self) -> bool:
        return self.params.scale != 1

    def guide(self, branches: Branches) -> Velocity:
        params, average = self.params, _Momentum(self.params.momentum)
        if params.scale == 1:
            return branches.conditional

        def guided(x: Tensor, tau: float) -> Tensor:
            null, conditional = branches.both(x, tau)
            clean = branches.clean_estimate(x, conditional, tau)
            update = average(clean - branches.clean_estimate(x, null, tau))
            if params.threshold is not None:
                update = limited(update, params.threshold)
            along = projected(update, clean)
            target = clean + (params.scale - 1) * (update - along + params.eta * along)
            # Only the change goes through the inverse, which is not exact at the very end of the last stage.
            change = branches.velocity_from_clean(x, target, tau) - branches.velocity_from_clean(x, clean, tau)
            return conditional + change

        return guided

    def nfe(self, stage: Stage, tau: float) -> int:
        return 1 if self.params.scale == 1 else 2


class _Momentum:
    """Running sum of updates; every evaluation counts, also those inside a step of a higher order."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._sum: Tensor | float = 0.0

    def __call__(self, update: Tensor) -> Tensor:
        self._sum = update + self._share * self._sum
        return self._sum


def limited(update: Tensor, threshold: float) -> Tensor:
    """Each image of `update` (b c h w), scaled down to a root mean square of at most `threshold`."""
    size = update.square().mean(_IMAGE, keepdim=True).sqrt()
    return update * (threshold / size.clamp_min(threshold))


def projected(update: Tensor, onto: Tensor) -> Tensor:
    """The part of each image of `update` (b c h w) along that of `onto`."""
    length = onto.square().sum(_IMAGE, keepdim=True).clamp_min(1e-12)
    return (update * onto).sum(_IMAGE, keepdim=True) / length * onto
