"""CMMD: a discrepancy in CLIP's embeddings (Jayasumana et al., arXiv 2401.09603)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from pixelflow.core.interfaces import Comparison, Metric
from pixelflow.metrics.clip import Clip, ClipFolder
from pixelflow.metrics.distances import check_enough
from pixelflow.metrics.kernels import biased_mmd2

_SCALE = 1000


class Cmmd(Metric):
    """1000 times the biased squared discrepancy under a Gaussian kernel, in embeddings of length 1."""

    figures = ("cmmd",)
    bounds = (0.0, math.inf)

    class Params(ClipFolder, Metric.Params):
        type: Literal["cmmd"] = "cmmd"
        model: str = "timm/vit_large_patch14_clip_336.openai"
        """A name on the Hugging Face hub, or a folder, in open-clip's form; CMMD's own is OpenAI's ViT-L/14 at 336."""
        sigma: float = Field(default=10.0, gt=0)
        """Width of the kernel."""

    params: Params

    @property
    def title(self) -> str:
        return f"{self.type_name()}, {self.params.model}"

    @property
    def extractor(self) -> Clip.Params:
        return Clip.Params(model=self.params.model, resize="square", normalised=True)

    @property
    def protocol(self) -> str:
        return "CMMD (google-research)"

    def compute(self, images: Comparison) -> dict[str, float]:
        found, real = images.features(self.extractor)
        check_enough(min(len(found), len(real)), 2, f"{self.type_name()}, on each side,")
        return {"cmmd": _SCALE * biased_mmd2(found, real, self.params.sigma)}
