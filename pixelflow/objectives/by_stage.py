"""A meaning of the network's output for each stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Prediction
from pixelflow.core.interfaces.training import AnyPrediction
from pixelflow.core.schedule import Stage


class PredictionByStage(Prediction):
    """What each stage predicts, coarse to fine; stages beyond the last that is named are as it is.

    So a last stage of coarse patches may predict the clean image while the others predict the velocity.
    """

    class Params(Prediction.Params):
        type: Literal["by_stage"] = "by_stage"
        stages: tuple[AnyPrediction, ...] = Field(default=("velocity", "clean"), min_length=1)  # type: ignore[arg-type]
        """One for each stage, coarse to fine."""

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._stages = [own.build() for own in params.stages]

    def velocity(
        self, output: Tensor, x: Tensor, tau: Tensor, stage: Stage, blur: Callable[[Tensor], Tensor]
    ) -> Tensor:
        own: Prediction = self._stages[min(stage.index, len(self._stages) - 1)]
        return own.velocity(output, x, tau, stage, blur)
