"""An objective that outliers move less."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Objective, Work


class Robust(Objective):
    """The Huber loss of the velocity: squared up to a threshold, linear beyond."""

    class Params(Objective.Params):
        type: Literal["acme.robust"] = "acme.robust"
        threshold: float = Field(default=1.0, gt=0)
        """Error from which on the loss is linear."""

    params: Params

    def forward(self, work: Work) -> list[Tensor]:
        answer = self.network(work)
        return [
            F.huber_loss(velocity, group.targets, reduction="none", delta=self.params.threshold).mean((1, 2, 3))
            for velocity, group in zip(answer.velocities, work.groups, strict=True)
        ]
