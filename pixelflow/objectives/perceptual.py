"""A perceptual loss: clean estimates and clean images in the features of a network (LPIPS, arXiv 1801.03924)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from pixelflow.core.cascade import noise_level
from pixelflow.core.interfaces import Extractor, Term
from pixelflow.core.work import Answer
from pixelflow.objectives.extracting import AnyExtractor, differentiable


class Perceptual(Term):
    """Squared distance of an extractor's inner maps, each normed over its channels, summed over the maps.

    It compares the clean image that the velocity implies with the true one, at each stage's own resolution.
    """

    class Params(Term.Params):
        type: Literal["perceptual"] = "perceptual"
        extractor: AnyExtractor = Field(default="random_conv")  # type: ignore[assignment]
        """In whose features images are compared; one that lets gradients through."""
        most_noise: float = Field(default=1.0, gt=0, le=1)
        """Level of noise in the state above which it does not count: there an estimate is blurred for good reason."""

    params: Params

    def __init__(self, params: Params, *, device: torch.device, tap_widths: Sequence[int]) -> None:
        super().__init__(params, device=device, tap_widths=tap_widths)
        self._extractor: Extractor = differentiable(params.extractor, device)

    def forward(self, answer: Answer) -> list[Tensor]:
        return [
            (noise_level(group.stage, group.tau) <= self.params.most_noise) * self._distance(estimate, group.clean)
            for estimate, group in zip(answer.clean, answer.work.groups, strict=True)
        ]

    def _distance(self, estimate: Tensor, clean: Tensor) -> Tensor:
        """Images (n c h w), twice -> (n)"""
        with torch.no_grad():
            wanted = self._extractor.maps(clean)
        pairs = zip(self._extractor.maps(estimate), wanted, strict=True)
        squares = [
            (F.normalize(found.float(), dim=1) - F.normalize(true.float(), dim=1)).square().sum(1).mean((1, 2))
            for found, true in pairs
        ]
        return torch.stack(squares).sum(0)
