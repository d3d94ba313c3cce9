"""Hidden features aligned with those of another network (REPA, arXiv 2410.06940)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.interfaces import Extractor, Term
from pixelflow.core.work import Answer
from pixelflow.objectives.extracting import AnyExtractor, differentiable
from pixelflow.system.errors import UsageError

_PROBE = 32
"""Pixels of an image that tells how many channels an extractor has."""


class Alignment(Term):
    """One less the cosine between a projection of the network's tokens and an extractor's map of the clean image.

    The projection (three linears with SiLU between) is trained along. The map is averaged to the tokens' grid, or
    stretched where it is coarser.
    """

    class Params(Term.Params):
        type: Literal["alignment"] = "alignment"
        extractor: AnyExtractor = Field(default="random_conv")  # type: ignore[assignment]
        """Whose map the tokens are to follow: its last and deepest one."""
        tap: int = Field(default=0, ge=0)
        """Behind which block the network's tokens are taken, from 0."""
        hidden: int = Field(default=256, ge=1)
        """Channels inside the projection."""

    params: Params

    def __init__(self, params: Params, *, device: torch.device, tap_widths: Sequence[int]) -> None:
        super().__init__(params, device=device, tap_widths=tap_widths)
        if params.tap >= len(tap_widths):
            raise UsageError(f"the term alignment taps block {params.tap}, but the network has {len(tap_widths)} taps")
        self._extractor: Extractor = differentiable(params.extractor, device)
        with torch.no_grad():
            wanted = self._extractor.maps(torch.zeros(1, 3, _PROBE, _PROBE, device=device))[-1].shape[1]
        self.projection = nn.Sequential(
            nn.Linear(tap_widths[params.tap], params.hidden), nn.SiLU(),
            nn.Linear(params.hidden, params.hidden), nn.SiLU(), nn.Linear(params.hidden, wanted),
        ).to(device)  # fmt: skip

    @property
    def taps(self) -> Sequence[int]:
        return (self.params.tap,)

    def forward(self, answer: Answer) -> list[Tensor]:
        groups = zip(answer.features[self.params.tap], answer.work.groups, strict=True)
        return [self._distance(hidden, group.clean) for hidden, group in groups]

    def _distance(self, hidden: Tensor, clean: Tensor) -> Tensor:
        """Features (n d rows cols) and images (n c h w) -> (n)"""
        with torch.no_grad():
            found = self._extractor.maps(clean)[-1].float()
            wanted = F.adaptive_avg_pool2d(found, (hidden.shape[-2], hidden.shape[-1]))
        projected = self.projection(hidden.movedim(1, -1)).movedim(-1, 1)
        return 1 - F.cosine_similarity(projected.float(), wanted, dim=1).mean((1, 2))
