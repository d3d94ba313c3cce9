"""KID's discrepancy (Binkowski et al., arXiv 1801.01401) in the features of an extractor of choice."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelflow.core.interfaces import Comparison
from pixelflow.core.spec import AnyExtractor
from pixelflow.metrics.in_features import InFeatures
from pixelflow.metrics.kid import over_subsets


class KernelDistance(InFeatures):
    """The mean over random subsets of the unbiased discrepancy by the cubic kernel; and its deviation; never KID.

    Unlike the Frechet distance it does not depend on the number of images, apart from its noise; it may come out
    negative.
    """

    figures = ("distance", "deviation_over_subsets")

    class Params(InFeatures.Params):
        type: Literal["kernel_distance"] = "kernel_distance"
        extractor: AnyExtractor = "random_conv"  # type: ignore[assignment]
        """Features in which the distributions are compared."""
        subsets: int = Field(default=100, ge=1)
        """Random subsets of each side over which the mean is taken."""
        subset_size: int = Field(default=1000, ge=2)
        """Images in a subset; fewer where a side has fewer."""
        seed: int = Field(default=0, ge=0)
        """Fixes the subsets."""

    params: Params

    def compute(self, images: Comparison) -> dict[str, float]:
        sides, params = images.features(self.extractor), self.params
        mean, deviation = over_subsets(*sides, params.subsets, params.subset_size, params.seed, self.type_name())
        return {"distance": mean, "deviation_over_subsets": deviation}
