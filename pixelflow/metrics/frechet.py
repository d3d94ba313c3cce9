"""The Frechet distance in the features of an extractor of choice."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

from pixelflow.core.interfaces import Comparison, Extractor, Metric
from pixelflow.core.spec import AnyExtractor
from pixelflow.metrics.distances import HALVES, against_halves, frechet_to
from pixelflow.metrics.in_features import InFeatures


class AgainstHalves(Metric, ABC):
    """The Frechet distance in its `extractor`'s features, beside the same for two halves of the real images.

    The latter where there are real images, and not only statistics of them.
    """

    figures = HALVES
    bounds = (0.0, math.inf)

    @property
    @abstractmethod
    def extractor(self) -> Extractor.Params:
        """In whose features it compares."""

    def compute(self, images: Comparison) -> dict[str, float]:
        found, real = images.features(self.extractor)
        if len(real):
            return against_halves(found, real)
        return {"distance": frechet_to(found, *images.reference_moments(self.extractor))}


class Frechet(InFeatures, AgainstHalves):
    """Frechet distance between generated and real images in an extractor's features.

    Exact for few samples as well. Its value depends on the extractor, so it is given beside the distance between
    two halves of the real data, where there are such data and not only statistics of them; never call it FID.
    """

    class Params(InFeatures.Params):
        type: Literal["frechet"] = "frechet"
        extractor: AnyExtractor = "random_conv"  # type: ignore[assignment]
        """Features in which the distributions are compared."""

    params: Params
