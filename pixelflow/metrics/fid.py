"""FID by clean-fid's protocol (Heusel et al., arXiv 1706.08500; Parmar et al., arXiv 2104.11222)."""

from __future__ import annotations

import math
from typing import Literal

import torch

from pixelflow.core.interfaces import Comparison, Metric
from pixelflow.metrics.distances import frechet_to
from pixelflow.metrics.inception import InceptionFile, InceptionPool


class Fid(Metric):
    """The Frechet distance in pool_3 of the Inception network, images resized as clean-fid does."""

    figures = ("fid",)
    bounds = (0.0, math.inf)

    class Params(InceptionFile, Metric.Params):
        type: Literal["fid"] = "fid"
        mode: Literal["clean", "legacy_tensorflow"] = "clean"
        """clean-fid's name for how images are resized; numbers of two modes must not be compared."""

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params)

    @property
    def title(self) -> str:
        return f"{self.type_name()}, {self.params.mode}{self.params.note}"

    @property
    def extractor(self) -> InceptionPool.Params:
        return InceptionPool.Params(mode=self.params.mode, **self.params.file)

    @property
    def protocol(self) -> str:
        return f"clean-fid, mode {self.params.mode}"

    def compute(self, images: Comparison) -> dict[str, float]:
        mean, covariance = images.reference_moments(self.extractor)
        return {"fid": frechet_to(images.generated_features(self.extractor), mean, covariance)}
