"""FD-DINOv2 (Stein et al., arXiv 2306.04675)."""

from __future__ import annotations

import math
from typing import Literal

import torch

from pixelflow.core.interfaces import Comparison, Metric
from pixelflow.metrics.dinov2 import DinoFolder, Dinov2
from pixelflow.metrics.distances import frechet_to


class FdDinov2(Metric):
    """The Frechet distance in the class token of DINOv2, at 224 pixels; the paper's is with ViT-L/14."""

    figures = ("fd_dinov2",)
    bounds = (0.0, math.inf)

    class Params(DinoFolder, Metric.Params):
        type: Literal["fd_dinov2"] = "fd_dinov2"

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params)

    @property
    def title(self) -> str:
        return f"{self.type_name()}, {self.params.model}"

    @property
    def extractor(self) -> Dinov2.Params:
        return Dinov2.Params(model=self.params.model)

    @property
    def protocol(self) -> str:
        return "dgm-eval, dinov2"

    def compute(self, images: Comparison) -> dict[str, float]:
        mean, covariance = images.reference_moments(self.extractor)
        return {"fd_dinov2": frechet_to(images.generated_features(self.extractor), mean, covariance)}
