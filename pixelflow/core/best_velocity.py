"""What a perfectly trained network says of Gaussian images: the velocity, and the mean velocity up to a later time."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from pixelflow.core.cascade import Cascade
from pixelflow.core.component import ComponentParams
from pixelflow.core.interfaces import Backbone, Cost, Output, Query
from pixelflow.core.schedule import Stage

_FLOW_STEPS = 128
"""Of RK4 for a whole stage, where a mean velocity is worked out."""


class BestVelocity(Backbone):
    """The velocity that a perfectly trained network has on Gaussian images."""

    def __init__(self, cascade: Cascade, covariance: Tensor, size: tuple[int, int]) -> None:
        super().__init__(ComponentParams())
        self._cascade, self._size = cascade, size
        self._covariance = nn.Parameter(covariance, requires_grad=False)
        self._paths: dict[int, tuple[Tensor, Tensor]] = {}
        self._maps: dict[tuple[int, float], Tensor] = {}
        self._means: dict[tuple[int, float, float], Tensor] = {}

    def forward(self, query: Query) -> Output:
        (x,), (index,) = query.images, query.stages
        stage = self._cascade.stages[index]
        tau = float(stage.tau(query.time[0]))
        until = tau if query.until is None else float(stage.tau(query.until[0]))
        best = self._map(stage, tau) if until == tau else self._mean(stage, tau, until)
        flat = x.flatten(1) @ best.mT  # this line runs a million times
        return Output([flat.view(x.shape)])

    @property
    def takes_until(self) -> bool:
        return True

    def cost(self, rows: int, cols: int, stage: int, context_tokens: int) -> Cost:
        return Cost(float(rows * cols) ** 2, 0.0, 0.0)

    def _map(self, stage: Stage, tau: float) -> Tensor:
        """E[v | x] = cov(v, x) cov(x)^-1 (d d), the regression of the target on the state."""
        key = (stage.index, round(tau, 12))
        if key not in self._maps:
            start, velocity = self._path(stage)
            state = start + tau * velocity
            self._maps[key] = torch.linalg.solve(state.mT @ state, state.mT @ velocity).mT
        return self._maps[key]

    def _mean(self, stage: Stage, tau: float, until: float) -> Tensor:
        """``(P - 1) / (until - tau)`` (d d), with P the flow from `tau` to `until`: ``P' = E[v | x] P``, by RK4."""
        key = (stage.index, round(tau, 12), round(until, 12))
        if key not in self._means:
            pixels = self._map(stage, tau).shape[0]
            flow = unit = torch.eye(pixels, dtype=torch.float64)
            step = (until - tau) / (steps := math.ceil((until - tau) * _FLOW_STEPS))
            for index in range(steps):
                first, middle, last = (self._map(stage, tau + (index + part) * step) for part in (0, 0.5, 1))
                one = first @ flow
                two = middle @ (flow + step / 2 * one)
                three = middle @ (flow + step / 2 * two)
                flow = flow + step / 6 * (one + 2 * two + 2 * three + last @ (flow + step * three))
            self._means[key] = (flow - unit) / (until - tau)
        return self._means[key]

    def _path(self, stage: Stage) -> tuple[Tensor, Tensor]:
        """Start state and target (draws d) for unit vectors of the data's and the noise's random numbers."""
        if stage.index not in self._paths:
            height, width = self._cascade.size(stage, *self._size)
            root = torch.linalg.cholesky(self._covariance)
            images = self._cascade.at_stage(as_images(root.mT, *self._size), stage)
            white = as_images(torch.eye(height * width, dtype=torch.float64), height, width)
            y = torch.cat([images, torch.zeros_like(white)])
            noise = torch.cat([torch.zeros_like(images), white])
            tau = torch.zeros(len(y), dtype=torch.float64)
            start, velocity = self._cascade.states(y, noise, tau, stage)
            self._paths[stage.index] = (start.flatten(1), velocity.flatten(1))
        return self._paths[stage.index]


def as_images(rows: Tensor, height: int, width: int) -> Tensor:
    """(b h*w) -> (b 1 h w)"""
    return rearrange(rows, "b (h w) -> b 1 h w", h=height, w=width)
