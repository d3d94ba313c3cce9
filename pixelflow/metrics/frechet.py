"""The Frechet distance in the features of an extractor of choice."""

from __future__ import annotations

import math
from typing import Literal

import torch

from pixelflow.core.interfaces import Comparison, Extractor, Metric
from pixelflow.core.spec import AnyExtractor
from pixelflow.metrics.distances import HALVES, against_halves, frechet_to


class Frechet(Metric):
    """Frechet distance between generated and real images in an extractor's features.

    Exact for few samples as well. Its value depends on the extractor, so it is given beside the distance between
    two halves of the real data, where there are such data and not only statistics of them; never call it FID.
    """

    figures = HALVES
    bounds = (0.0, math.inf)

    class Params(Metric.Params):
        type: Literal["frechet"] = "frechet"
        extractor: AnyExtractor = "random_conv"  # type: ignore[assignment]
        """Features in which the distributions are compared."""

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params)

    @property
    def title(self) -> str:
        return f"{self.type_name()}, {self.params.extractor.component.type_name()}"

    @property
    def extractor(self) -> Extractor.Params:
        return self.params.extractor

    def compute(self, images: Comparison) -> dict[str, float]:
        found, real = images.features(self.params.extractor)
        if len(real):
            return against_halves(found, real)
        return {"distance": frechet_to(found, *images.reference_moments(self.params.extractor))}
