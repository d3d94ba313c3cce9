"""Entering the cascade on the way: images, noised as the cascade has them at some stage and time, in place of noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelflow.core.cascade import Cascade
from pixelflow.system.errors import UsageError


@dataclass(frozen=True)
class Entry:
    """Where a generation begins, and from which images.

    The state is one that the network was trained on (PixelFlow, arXiv 2504.07963, Eqs 2 to 4), so what follows has the
    law of the data if the images have it; `pixelflow.core.exactness` computes that it does.
    """

    stage: int
    tau: float
    """In [0, 1); at 0 all is drawn anew that the stage before does not tell."""
    images: Tensor
    """(b c h w) at the resolution of the stage or a later one; for tau = 0 that of the stage before suffices."""

    def state(self, cascade: Cascade, white: Tensor) -> Tensor:
        """x_tau at the stage (b c h w), with noise of that shape; raises UsageError for images of another size."""
        stage, images = cascade.stages[self.stage], self.images.to(white)
        while images.shape[-2] > white.shape[-2]:
            images = cascade.down(images)
        if images.shape[-2:] == white.shape[-2:]:
            times = torch.full((len(white),), self.tau, dtype=white.dtype, device=white.device)
            return cascade.states(images, white, times, stage)[0]
        if stage.index and not self.tau and (2 * images.shape[-2], 2 * images.shape[-1]) == tuple(white.shape[-2:]):
            return stage.start * cascade.up(images) + (1 - stage.start) * white
        raise UsageError(f"images of {tuple(images.shape[-2:])} do not enter stage {self.stage} at tau {self.tau:g}")
