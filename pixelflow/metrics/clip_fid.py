"""CLIP-FID by clean-fid's protocol (Kynkaanniemi et al., arXiv 2203.06026)."""

from __future__ import annotations

import math
from typing import Literal

import torch

from pixelflow.core.interfaces import Comparison, Metric
from pixelflow.metrics.clip import Clip, ClipFolder
from pixelflow.metrics.distances import frechet_to


class ClipFid(Metric):
    """The Frechet distance in CLIP's embeddings of images, not normalised; clean-fid's is with OpenAI's ViT-B/32."""

    figures = ("clip_fid",)
    bounds = (0.0, math.inf)

    class Params(ClipFolder, Metric.Params):
        type: Literal["clip_fid"] = "clip_fid"

    params: Params

    def __init__(self, params: Params, *, device: torch.device) -> None:
        super().__init__(params)

    @property
    def title(self) -> str:
        return f"{self.type_name()}, {self.params.model}"

    @property
    def extractor(self) -> Clip.Params:
        return Clip.Params(model=self.params.model)

    @property
    def protocol(self) -> str:
        return "clean-fid, clip_vit_b_32"

    def compute(self, images: Comparison) -> dict[str, float]:
        mean, covariance = images.reference_moments(self.extractor)
        return {"clip_fid": frechet_to(images.generated_features(self.extractor), mean, covariance)}
