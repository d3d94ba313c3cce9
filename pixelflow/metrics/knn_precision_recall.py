"""Improved precision and recall (Kynkaanniemi et al., arXiv 1904.06991) in the features of an extractor of choice."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from pixelflow.core.interfaces import Comparison
from pixelflow.core.spec import AnyExtractor
from pixelflow.metrics.distances import check_enough
from pixelflow.metrics.in_features import InFeatures
from pixelflow.metrics.precision_recall import precision_recall


class KnnPrecisionRecall(InFeatures):
    """Share of generated images among the real ones, and of real ones among the generated.

    An image is among others if it is no farther from one of them than that one's so manieth nearest neighbour. Both
    depend on the numbers of images: compare runs by equal numbers.
    """

    figures = ("precision", "recall")
    higher_is_better = True
    bounds = (0.0, 1.0)

    class Params(InFeatures.Params):
        type: Literal["knn_precision_recall"] = "knn_precision_recall"
        extractor: AnyExtractor = "random_conv"  # type: ignore[assignment]
        """Features in which neighbours are sought."""
        neighbours: int = Field(default=3, ge=1)
        """How many neighbours reach makes the neighbourhood of an image."""

    params: Params

    def compute(self, images: Comparison) -> dict[str, float]:
        sides = images.features(self.extractor)
        check_enough(min(map(len, sides)), self.params.neighbours + 1, f"{self.type_name()}, on each side,")
        found, real = (torch.from_numpy(side).to(self.device) for side in sides)
        precision, recall = precision_recall(found, real, self.params.neighbours)
        return {"precision": precision, "recall": recall}
