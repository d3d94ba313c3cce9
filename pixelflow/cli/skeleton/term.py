"""A loss on the edges of images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pixelflow.core.interfaces import Answer, Term


class Edges(Term):
    """Mean absolute difference of neighbouring pixels' steps between the clean estimate and the clean image."""

    class Params(Term.Params):
        type: Literal["acme.edges"] = "acme.edges"

    params: Params

    def forward(self, answer: Answer) -> list[Tensor]:
        groups = zip(answer.clean, answer.work.groups, strict=True)
        return [self._distance(estimate - group.clean) for estimate, group in groups]

    def _distance(self, error: Tensor) -> Tensor:
        """Errors (n c h w) -> (n)"""
        steps = [error.diff(dim=axis).abs().mean((1, 2, 3)) for axis in (2, 3)]
        return torch.stack(steps).sum(0)
