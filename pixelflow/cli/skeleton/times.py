"""Training times that prefer the start of a stage."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Times


class EarlyTimes(Times):
    """``u ** exponent`` with u uniform in [0, 1)."""

    class Params(Times.Params):
        type: Literal["acme.early"] = "acme.early"
        exponent: float = Field(default=2.0, ge=1)
        """1 is uniform; the larger, the earlier."""

    params: Params

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.rand(count, generator=generator) ** self.params.exponent
