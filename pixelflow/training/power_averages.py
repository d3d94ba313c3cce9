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
        self._weights = model.state_dict()
        self._floating = [name for name, own in self._weights.items() if own.is_floating_point()]
        self.parts = {
            part_of_length(length): {name: own.detach().clone() for name, own in self._weights.items()}
            for length in self._lengths
        }
        """The averages as parts of a checkpoint, as they are held."""

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Join the weights that `step` (0, 1, ...) has produced."""
        weights = [self._local(self._weights[name]) for name in self._floating]
        for length, average in zip(self._lengths, self.parts.values(), strict=True):
            torch._foreach_lerp_(
                [self._local(average[name]) for name in self._floating], weights, 1 - decay(step, length)
            )
            for name in average.keys() - set(self._floating):
                average[name].copy_(self._weights[name])
