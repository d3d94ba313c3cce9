"""A perceptual loss in the finest maps of an extractor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Answer, Extractor, Term
from pixelflow.core.slots import Slot
from pixelflow.objectives.extracting import differentiable


class Sharp(Term):
    """Mean absolute difference of clean estimate and clean image in an extractor's first maps."""

    class Params(Term.Params):
        type: Literal["lessons.sharp"] = "lessons.sharp"
        extractor: Annotated[Extractor.Params, Slot("extractor")] = Field(default="random_conv")  # type: ignore[assignment]
        """In whose maps images are compared."""
        maps: int = Field(default=1, ge=1)
        """How many of its maps, finest first."""

    params: Params

    def __init__(self, params: Params, *, device: torch.device, tap_widths: Sequence[int]) -> None:
        super().__init__(params, device=device, tap_widths=tap_widths)
        self._extractor = differentiable(params.extractor, device)

    def forward(self, answer: Answer) -> list[Tensor]:
        groups = zip(answer.clean, answer.work.groups, strict=True)
        return [self._distance(estimate, group.clean) for estimate, group in groups]

    def _distance(self, estimate: Tensor, clean: Tensor) -> Tensor:
        """Images (n c h w), twice -> (n)"""
        first = slice(self.params.maps)
        pairs = zip(self._extractor.maps(estimate)[first], self._extractor.maps(clean)[first], strict=True)
        return torch.stack([(found - true).abs().mean((1, 2, 3)) for found, true in pairs]).sum(0)
