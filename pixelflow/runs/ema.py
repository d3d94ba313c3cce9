"""The exponential moving average of a model's weights, from which images are drawn."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from pixelflow.core.model import FlowModel


class Ema:
    """``average = decay * average + (1 - decay) * weights``, kept as a model of its own in evaluation mode.

    The tensors that both models hold at the first update are followed from then on where they lie.
    """

    def __init__(
        self, model: FlowModel, decay: float, local: Callable[[Tensor], Tensor] = lambda tensor: tensor
    ) -> None:
        """Local: the part of a tensor that lies in this process, in the same memory."""
        self.decay, self._followed, self._local = decay, model, local
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @cached_property
    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Averages and weights."""
        states = (self.model.state_dict().values(), self._followed.state_dict().values())
        return [(self._local(average), self._local(weight)) for average, weight in zip(*states, strict=True)]

    @cached_property
    def _floating(self) -> tuple[list[Tensor], list[Tensor]]:
        pairs = [pair for pair in self._pairs if pair[0].is_floating_point()]
        return [average for average, _ in pairs], [weight for _, weight in pairs]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights that `step` (0, 1, ...) has produced."""
        averages, weights = self._floating
        decay = min(self.decay, (1 + step) / (10 + step))  # so that the start is forgotten
        torch._foreach_lerp_(averages, weights, 1 - decay)
        for average, value in self._pairs:
            if not average.is_floating_point():
                average.copy_(value)
