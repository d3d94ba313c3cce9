"""The exponential moving average of a model's weights, from which images are drawn."""

from __future__ import annotations

import copy

import torch

from pixelflow.core.model import FlowModel


class Ema:
    """``average = decay * average + (1 - decay) * weights``, kept as a model of its own in evaluation mode.

    Made when the model is on its device; the weights are followed where they lie.
    """

    def __init__(self, model: FlowModel, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values(), strict=True))
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        self._averages, self._weights = [a for a, _ in floating], [w for _, w in floating]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights that `step` (0, 1, ...) has produced."""
        decay = min(self.decay, (1 + step) / (10 + step))  # so that the start is forgotten
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        for average, value in self._copied:
            average.copy_(value)
