"""The network predicts the clean image, and its velocity follows (JiT, arXiv 2511.13720)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from pixelflow.core.cascade import velocity_from_clean
from pixelflow.core.interfaces import Prediction
from pixelflow.core.schedule import Stage


class CleanPrediction(Prediction):
    """The output is the clean image at the stage's resolution; the loss stays on the velocity.

    What makes coarse patches trainable in pixels: a clean image lies near a manifold, noise does not.
    """

    class Params(Prediction.Params):
        type: Literal["clean"] = "clean"

    def velocity(
        self, output: Tensor, x: Tensor, tau: Tensor, stage: Stage, blur: Callable[[Tensor], Tensor]
    ) -> Tensor:
        return velocity_from_clean(x, output, tau, stage, blur)
