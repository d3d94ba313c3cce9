"""CLIP score: how well images and their captions agree (Hessel et al., arXiv 2104.08718)."""

from __future__ import annotations

from typing import Literal

import torch

from pixelflow.core.interfaces import Comparison, ImageSource, Metric
from pixelflow.metrics.clip import Clip, ClipFolder, folder_of, read_clip
from pixelflow.system.errors import DataError


class ClipScore(Metric):
    """100 times the mean cosine between the embeddings of an image and of its caption; the real images play no part.

    The cosine is neither cut off at 0 nor multiplied by 2.5, as some do.
    """

    figures = ("clip_score",)
    higher_is_better = True
    bounds = (-100.0, 100.0)

    class Params(ClipFolder, Metric.Params):
        type: Literal["clip_score"] = "clip_score"

    params: Params

    @property
    def title(self) -> str:
        return f"{self.type_name()}, {self.params.model}"

    @property
    def extractor(self) -> Clip.Params:
        return Clip.Params(model=self.params.model, normalised=True)

    @property
    def protocol(self) -> str:
        return "open-clip, 100 x cosine"

    @torch.no_grad()
    def compute(self, images: Comparison) -> dict[str, float]:
        shown = images.generated_features(self.extractor)
        texts = read_clip(folder_of(self.params), self.device).texts(_captions(images.generated))
        return {"clip_score": 100 * float((shown * texts.double().numpy()).sum(1).mean())}


def _captions(source: ImageSource) -> list[str]:
    captions: list[str] = []
    for batch in source:
        if batch.captions is None:
            raise DataError("clip_score needs captions, and the generated images have none; remove this metric")
        captions.extend(batch.captions)
    return captions
