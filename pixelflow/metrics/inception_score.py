"""Inception Score as the ADM evaluator defines it (Salimans et al., arXiv 1606.03498)."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from pixelflow.core.interfaces import Array, Comparison
from pixelflow.metrics.adm_inception import POOL_PART, AdmMetric
from pixelflow.metrics.inception import read_inception


class InceptionScore(AdmMetric):
    """How sure the Inception network is of each image, and how its answers vary; the real images play no part.

    The logits have no bias, and the mean is over splits of 5,000 images in their order.
    """

    figures = ("inception_score",)
    higher_is_better = True
    bounds = (1.0, math.inf)

    class Params(AdmMetric.Params):
        type: Literal["inception_score"] = "inception_score"
        split: int = Field(default=5000, ge=2)
        """Images of a split; the value depends on it."""

    params: Params

    def compute(self, images: Comparison) -> dict[str, float]:
        pool = images.generated_features(self.extractor)[:, POOL_PART]
        classifier = read_inception(self.params, self.device).classifier
        logits = pool @ classifier.double().cpu().numpy().T
        return {"inception_score": inception_score(logits, self.params.split)}


def inception_score(logits: Array, split: int) -> float:
    """Mean over splits of ``exp(mean KL(p(y | x) || p(y)))``, from logits (n classes)."""
    from scipy.special import log_softmax

    scores = []
    for start in range(0, len(logits), split):
        known = log_softmax(logits[start : start + split], axis=1)
        share = np.exp(known)
        overall = np.log(share.mean(0).clip(np.finfo(float).tiny))
        scores.append(np.exp((share * (known - overall)).sum(1).mean()))
    return float(np.mean(scores))
