"""The paper's network: a Diffusion Transformer on packed pixel patches (section 3.3; DiT, arXiv 2212.09748)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from pixelflow.backbones.transformer import Transformer
from pixelflow.core.interfaces import Cost
from pixelflow.core.packing import Group, patchify, unpatchify


class DiT(Transformer):
    """Transformer with 2-D RoPE, qk RMSNorm and a resolution embedding; one pair of projections a patch size."""

    class Params(Transformer.Params):
        type: Literal["dit"] = "dit"

    params: Params

    def make_ends(self, patches: Sequence[int]) -> None:
        self.patch_in = nn.ModuleDict({str(p): nn.Linear(self.channels * p * p, self.width) for p in patches})
        self.patch_out = nn.ModuleDict({str(p): nn.Linear(self.width, self.channels * p * p) for p in patches})

    def enter(self, images: Tensor, patch: int, signal: Tensor) -> tuple[Tensor, None]:
        """Embed patches.

        A product and a convolution differ in the last bits; like the release, one trains and the other samples.
        """
        layer = self.patch_in[str(patch)]
        assert isinstance(layer, nn.Linear)
        if self.training:
            return layer(patchify(images, patch)).flatten(0, 1), None
        kernel = rearrange(layer.weight, "d (c ph pw) -> d c ph pw", ph=patch, pw=patch)
        embedded = F.conv2d(images, kernel, layer.bias, stride=patch)
        return rearrange(embedded, "b d h w -> (b h w) d"), None

    def leave(self, tokens: Tensor, patch: int, group: Group, signal: Tensor, kept: Any) -> Tensor:
        return unpatchify(self.patch_out[str(patch)](tokens), patch, group.rows, group.cols)

    def zero(self) -> Iterator[nn.Module]:
        yield from self.patch_out.values()

    def cost_of_ends(self, tokens: int, patch: int) -> Cost:
        return Cost(2.0 * tokens * patch**2 * self.channels * self.width, 0.0, 0.0)
