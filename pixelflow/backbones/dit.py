"""The paper's network: a Diffusion Transformer on packed pixel patches (section 3.3; DiT, arXiv 2212.09748)."""

from __future__ import annotations

from typing import Literal

from pixelflow.backbones.transformer import Transformer


class DiT(Transformer):
    """Transformer with 2-D RoPE, qk RMSNorm and a resolution embedding; one pair of projections a patch size."""

    class Params(Transformer.Params):
        type: Literal["dit"] = "dit"

    params: Params
