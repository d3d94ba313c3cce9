"""Averages by a power of time, followed in training; snapshots of them give any other length afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pixelflow.core.model import FlowModel
from pixelflow.runs.power_average import decay, part_of_length


class PowerAverages:
    """One average of a model's weights for each length; none where no length is asked for."""

    def __init__(self, model: FlowModel, lengths: Sequence[float], local: Callable[[Tensor], Tensor]) -> None:
        """Local: the part of a tensor that lies in this process, in the same memory."""
        self._lengths, self._local = tuple(lengths), local
        self._weights = {name: own for name, own in model.state_dict().items() if own.is_floating_point()}
        self.parts = {
            part_of_length(length): {name: own.detach().clone() for name, own in self._weights.items()}
            for length in self._lengths
        }
        """The averages as parts of a checkpoint, as they are held."""

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Join the weights that `step` (0, 1, ...) has produced."""
        weights = [self._local(own) for own in self._weights.values()]
        for length, average in zip(self._lengths, self.parts.values(), strict=True):
            torch._foreach_lerp_([self._local(own) for own in average.values()], weights, 1 - decay(step, length))
