"""FID as pytorch-fid measures it, which is clean-fid's mode legacy_pytorch."""

from __future__ import annotations

import math
from typing import Literal

import torch

from pixelflow.core.interfaces import Comparison, Metric
from pixelflow.metrics.distances import frechet_to
from pixelflow.metrics.inception_pytorch import PT_INCEPTION, PtInceptionFile, PytorchInception


class PytorchFid(Metric):
    """The Frechet distance in pool_3 of the Inception network, images resized without antialiasing."""

    figures = ("fid",)
    bounds = (0.0, math.inf)

    class Params(PtInceptionFile, Metric.Params):
        type: Literal["pytorch_fid"] = "pytorch_fid"

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params)

    @property
    def title(self) -> str:
        other = "" if self.params.sha256 == PT_INCEPTION.sha256 else f", weights {self.params.sha256[:8]}"
        return f"{self.type_name()}{other}"

    @property
    def extractor(self) -> PytorchInception.Params:
        return PytorchInception.Params(weights=self.params.weights, sha256=self.params.sha256)

    @property
    def protocol(self) -> str:
        return "pytorch-fid; clean-fid, mode legacy_pytorch"

    def compute(self, images: Comparison) -> dict[str, float]:
        mean, covariance = images.reference_moments(self.extractor)
        return {"fid": frechet_to(images.generated_features(self.extractor), mean, covariance)}
