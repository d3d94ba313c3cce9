"""A small convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Backbone, Cost, Output, Query


class ConvNet(Backbone):
    """Residual 3x3 convolutions on pixels, shifted by the time and the condition."""

    class Params(Backbone.Params):
        type: Literal["acme.convnet"] = "acme.convnet"
        features: int = Field(default=32, ge=1)
        """Channels inside the network."""
        depth: int = Field(default=4, ge=1)
        """Residual blocks."""

    params: Params

    def __init__(self, params: Params, *, channels: int, patches: Sequence[int], context_dim: int | None) -> None:
        super().__init__(params)
        self.width = params.features
        self.patches = tuple(patches)
        self.image_channels = channels
        self.enter = nn.Conv2d(channels, self.width, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(1, self.width), nn.SiLU(), nn.Linear(self.width, self.width))
        self.context = None if context_dim is None else nn.Linear(context_dim, self.width)
        self.blocks = nn.ModuleList(nn.Conv2d(self.width, self.width, 3, padding=1) for _ in range(params.depth))
        self.leave = nn.Conv2d(self.width, channels, 3, padding=1)

    def forward(self, query: Query) -> Output:
        signals = self._signal(query.time, query.condition).split([len(group) for group in query.images])
        return Output([self._group(group, signal) for group, signal in zip(query.images, signals, strict=True)])

    def _signal(self, time: Tensor, condition: Condition) -> Tensor:
        """What shifts the features (b width)."""
        signal: Tensor = self.time(rearrange(time, "b -> b 1") / 1000)
        if condition.vector is not None:
            signal = signal + condition.vector
        if self.context is not None and condition.tokens is not None and condition.mask is not None:
            counts = rearrange(condition.mask.to(signal.dtype), "b m -> b m 1")
            signal = signal + (self.context(condition.tokens) * counts).sum(1) / counts.sum(1).clamp_min(1)
        return signal

    def _group(self, x: Tensor, signal: Tensor) -> Tensor:
        features = self.enter(x)
        shift = rearrange(signal, "b d -> b d 1 1")
        for block in self.blocks:
            features = features + F.silu(block(features + shift))
        output: Tensor = self.leave(features)
        return output

    def cost(self, rows: int, cols: int, stage: int, context_tokens: int) -> Cost:
        pixels = rows * cols * self.patches[stage] ** 2
        inside = self.params.depth * self.width**2
        ends = 2 * self.image_channels * self.width
        return Cost(9.0 * pixels * (inside + ends), 0.0, 2.0 * pixels * self.width * self.params.depth)
