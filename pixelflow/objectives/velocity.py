"""The network predicts the velocity itself (the paper's choice)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from pixelflow.core.interfaces import Prediction
from pixelflow.core.schedule import Stage


class VelocityPrediction(Prediction):
    """The output is the velocity."""

    class Params(Prediction.Params):
        type: Literal["velocity"] = "velocity"

    def velocity(
        self, output: Tensor, x: Tensor, tau: Tensor, stage: Stage, blur: Callable[[Tensor], Tensor]
    ) -> Tensor:
        return output
