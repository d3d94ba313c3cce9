"""The network predicts where its stage ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Prediction
from pixelflow.core.schedule import Stage


class EndPrediction(Prediction):
    """The output is the stage's end state X1; the velocity leads there in the time that is left."""

    class Params(Prediction.Params):
        type: Literal["acme.end"] = "acme.end"
        shortest: float = Field(default=0.05, gt=0, le=1)
        """The time left is taken to be at least this, as it is divided by."""

    params: Params

    def velocity(
        self, output: Tensor, x: Tensor, tau: Tensor, stage: Stage, blur: Callable[[Tensor], Tensor]
    ) -> Tensor:
        return (output - x) / (1 - tau).clamp_min(self.params.shortest)
