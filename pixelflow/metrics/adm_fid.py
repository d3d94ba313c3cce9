"""FID as the ADM evaluator defines it (Dhariwal and Nichol, arXiv 2105.05233)."""

from __future__ import annotations

import math
from typing import Literal

from pixelflow.core.interfaces import Comparison
from pixelflow.metrics.adm_inception import POOL_PART, AdmMetric
from pixelflow.metrics.distances import frechet_to


class AdmFid(AdmMetric):
    """The Frechet distance in pool_3 of the Inception network, images resized inside TensorFlow's graph."""

    figures = ("fid",)
    bounds = (0.0, math.inf)

    class Params(AdmMetric.Params):
        type: Literal["adm_fid"] = "adm_fid"

    params: Params

    def compute(self, images: Comparison) -> dict[str, float]:
        mean, covariance = images.reference_moments(self.extractor)
        found = images.generated_features(self.extractor)[:, POOL_PART]
        return {"fid": frechet_to(found, mean[POOL_PART], covariance[POOL_PART, POOL_PART])}
