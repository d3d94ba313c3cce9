"""What a step found, read one step behind, so that nothing waits for the device on the way."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pixelflow.training.metrics import MetricAverages


class StepFigures:
    """Losses and gradient norm of a step, on their way from the device."""

    def __init__(self, step: int, sums: Tensor, norm: Tensor) -> None:
        """Of the step that leads to `step`.

        Args:
            sums: (2 stages) the sum of the images' losses, and their number.
            norm: a scalar.
        """
        self.step, self.seconds, self._stages = step, 0.0, sums.shape[1]
        figures = torch.cat([sums.flatten(), norm.view(1)])
        self.is_spoilt = figures.isfinite().all().logical_not().float()
        """1 where a loss or the norm is not finite, else 0; on the device."""
        self._event = None
        if figures.device.type == "cuda":
            self._event = torch.cuda.Event()
            figures = torch.empty_like(figures, device="cpu", pin_memory=True).copy_(figures, non_blocking=True)
            self._event.record()
        self._figures = figures

    def add_to(self, window: MetricAverages) -> str | None:
        """Wait for the figures and add them, or say what of them is not finite, such as ``the loss of step 4``."""
        if self._event is not None:
            self._event.synchronize()
        *figures, norm = self._figures.tolist()
        losses, counts = figures[: self._stages], figures[self._stages :]
        if all(map(math.isfinite, (*losses, norm))):
            window.add(losses, [int(count) for count in counts], norm, self.seconds)
            return None
        return f"the {'gradient' if all(map(math.isfinite, losses)) else 'loss'} of step {self.step}"
