"""Precision and recall as the ADM evaluator defines them (Kynkaanniemi et al., arXiv 1904.06991)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Array, Comparison
from pixelflow.metrics.adm_inception import POOL_PART, AdmMetric
from pixelflow.metrics.distances import check_enough

_ROWS = 512
"""Distances are worked out for so many images at a time."""


class PrecisionRecall(AdmMetric):
    """Share of generated images among the real ones, and of real ones among the generated, in pool_3.

    An image is among others if it is no farther from one of them than that one's third nearest neighbour. Both
    depend on the numbers of images: the ADM evaluator has 10,000 real and 50,000 generated ones.
    """

    figures = ("precision", "recall")
    higher_is_better = True
    bounds = (0.0, 1.0)

    class Params(AdmMetric.Params):
        type: Literal["precision_recall"] = "precision_recall"
        neighbours: int = Field(default=3, ge=1)
        """How many neighbours reach makes the neighbourhood of an image."""

    params: Params

    def compute(self, images: Comparison) -> dict[str, float]:
        found, real = images.features(self.extractor)
        least = self.params.neighbours + 1
        check_enough(min(len(found), len(real)), least, f"{self.type_name()}, on each side,")
        generated, reference = self._points(found), self._points(real)
        precision, recall = precision_recall(generated, reference, self.params.neighbours)
        return {"precision": precision, "recall": recall}

    def _points(self, features: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(features[:, POOL_PART])).to(self.device)


def precision_recall(generated: Tensor, real: Tensor, neighbours: int) -> tuple[float, float]:
    """Of features (n d) and (m d)."""
    return _share_within(generated, real, neighbours), _share_within(real, generated, neighbours)


def _share_within(points: Tensor, others: Tensor, neighbours: int) -> float:
    """The share of `points` that lie within the neighbourhood of one of the `others`."""
    nearest = (_squared_distances(part, others).topk(neighbours + 1, largest=False) for part in others.split(_ROWS))
    reach = torch.cat([own.values[:, -1] for own in nearest])  # the first of them is the point itself
    inside = [(_squared_distances(part, others) <= reach).any(1) for part in points.split(_ROWS)]
    return float(torch.cat(inside).double().mean())


def _squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """(n d), (m d) -> (n m)"""
    squares = first.square().sum(1)[:, None] + second.square().sum(1) - 2 * first @ second.mT
    return squares.clamp(min=0)
