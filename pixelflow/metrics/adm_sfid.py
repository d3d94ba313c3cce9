"""sFID as the ADM evaluator defines it (Nash et al., arXiv 2103.03841)."""

from __future__ import annotations

import math
from typing import Literal

from pixelflow.core.interfaces import Comparison
from pixelflow.metrics.adm_inception import SPATIAL_PART, AdmMetric
from pixelflow.metrics.distances import frechet_to


class AdmSfid(AdmMetric):
    """The Frechet distance in 2023 values of mixed_6/conv, which keep where in the image they are."""

    figures = ("sfid",)
    bounds = (0.0, math.inf)

    class Params(AdmMetric.Params):
        type: Literal["adm_sfid"] = "adm_sfid"

    params: Params

    def compute(self, images: Comparison) -> dict[str, float]:
        mean, covariance = images.reference_moments(self.extractor)
        found = images.generated_features(self.extractor)[:, SPATIAL_PART]
        return {"sfid": frechet_to(found, mean[SPATIAL_PART], covariance[SPATIAL_PART, SPATIAL_PART])}
