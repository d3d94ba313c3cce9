"""KID by clean-fid's protocol (Binkowski et al., arXiv 1801.01401), with subsets that a seed fixes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from pixelflow.core.interfaces import Array, Comparison
from pixelflow.metrics.distances import check_enough
from pixelflow.metrics.in_network import InNetwork
from pixelflow.metrics.inception import InceptionPool, ResizedByCleanFid
from pixelflow.metrics.kernels import unbiased_mmd2


class Kid(InNetwork):
    """The mean over random subsets of the unbiased discrepancy in pool_3, by the cubic kernel; and its deviation.

    Unlike FID it does not depend on the number of images, apart from its noise; it may come out negative.
    """

    figures = ("kid", "deviation_over_subsets")
    network = InceptionPool

    class Params(ResizedByCleanFid, InNetwork.Params):
        type: Literal["kid"] = "kid"
        subsets: int = Field(default=100, ge=1)
        """Random subsets of each side over which the mean is taken."""
        subset_size: int = Field(default=1000, ge=2)
        """Images in a subset; fewer where a side has fewer."""
        seed: int = Field(default=0, ge=0)
        """Fixes the subsets."""

    params: Params

    @property
    def protocol(self) -> str:
        return self.params.protocol

    def compute(self, images: Comparison) -> dict[str, float]:
        sides, params = images.features(self.extractor), self.params
        mean, deviation = over_subsets(*sides, params.subsets, params.subset_size, params.seed, "KID")
        return {"kid": mean, "deviation_over_subsets": deviation}


def over_subsets(
    found: Array, real: Array, subsets: int, subset_size: int, seed: int, name: str
) -> tuple[float, float]:
    """Mean and deviation of the discrepancy between random subsets of features (n d) and (m d).

    Raises DataError, which names the metric, for fewer than two images on a side.
    """
    size = min(len(found), len(real), subset_size)
    check_enough(size, 2, f"{name}, on each side,")
    draw = np.random.default_rng(seed)
    values = [
        unbiased_mmd2(*(side[draw.choice(len(side), size, replace=False)] for side in (found, real)))
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))
