"""The paper's network: a Diffusion Transformer on packed pixel patches (section 3.3; DiT, arXiv 2212.09748)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pixelflow.backbones.layers import (
    MLP,
    CrossAttention,
    RMSNorm,
    Rope,
    ScalarEmbedding,
    SelfAttention,
    gate,
    modulate,
    rope_of,
)
from pixelflow.core.condition import Condition
from pixelflow.core.errors import SpecError, UsageError
from pixelflow.core.interfaces import Backbone, Cost
from pixelflow.core.packing import Layout, layout_of, patchify, unpatchify


class Block(nn.Module):
    """adaLN-modulated self-attention, cross-attention where there is a context, and an MLP."""

    def __init__(self, heads: int, head_dim: int, hidden: int, context_dim: int | None) -> None:
        super().__init__()
        width = heads * head_dim
        self.modulation = nn.Linear(width, 6 * width)
        self.attention = SelfAttention(heads, head_dim)
        self.cross_norm = None if context_dim is None else RMSNorm(width)
        self.cross_attention = None if context_dim is None else CrossAttention(heads, head_dim, context_dim)
        self.mlp_norm = RMSNorm(width)
        self.mlp = MLP(width, hidden)

    def forward(self, x: Tensor, signal: Tensor, condition: Condition, layout: Layout, rope: Rope) -> Tensor:
        """X (n d), signal (images d), already through its SiLU -> (n d)"""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(signal).chunk(6, dim=-1)
        normed = F.layer_norm(x, x.shape[-1:], eps=1e-6)
        x = x + gate(self.attention(modulate(normed, shift1, scale1, layout), layout, rope), gate1, layout)
        if self.cross_attention is not None and self.cross_norm is not None:
            if condition.tokens is None or condition.mask is None:
                raise UsageError("this network attends to text and got none; give embeddings, or add a conditioner")
            x = x + self.cross_attention(self.cross_norm(x), condition.tokens, condition.mask, layout, rope)
        return x + gate(self.mlp(modulate(self.mlp_norm(x), shift2, scale2, layout)), gate2, layout)


class DiT(Backbone):
    """Transformer with 2-D RoPE, qk RMSNorm and a resolution embedding; one pair of projections a patch size."""

    may_differ: ClassVar[frozenset[str]] = frozenset({"depth", "context_dim"})

    class Params(Backbone.Params):
        type: Literal["dit"] = "dit"
        depth: int = Field(default=28, ge=1)
        """Transformer blocks."""
        heads: int = Field(default=16, ge=1)
        """Attention heads."""
        head_dim: int = Field(default=72, ge=4)
        """Channels of a head; a multiple of 4 for the 2-D RoPE."""
        mlp_ratio: float = Field(default=4.0, gt=0)
        """Hidden channels of the MLP over the width."""
        context_dim: int | None = Field(default=None, ge=1)
        """Channels of context tokens that come from outside, as embeddings; by default those of the conditioners."""

        @field_validator("head_dim")
        @classmethod
        def _four_parts(cls, value: int) -> int:
            if value % 4:
                raise ValueError(
                    f"must be a multiple of 4 for the 2-D RoPE; use {value // 4 * 4} or {value // 4 * 4 + 4}"
                )
            return value

    params: Params

    def __init__(self, params: Params, *, channels: int, patches: Sequence[int], context_dim: int | None) -> None:
        super().__init__(params)
        self.width = params.heads * params.head_dim
        self.patches = tuple(patches)
        self.channels = channels
        self.context_dim = _one_context(params.context_dim, context_dim)
        sizes = sorted(set(patches))
        self.patch_in = nn.ModuleDict({str(p): nn.Linear(channels * p * p, self.width) for p in sizes})
        self.patch_out = nn.ModuleDict({str(p): nn.Linear(self.width, channels * p * p) for p in sizes})
        self.time_embedding = ScalarEmbedding(self.width)
        self.size_embedding = ScalarEmbedding(self.width)
        hidden = int(self.width * params.mlp_ratio)
        self.blocks = nn.ModuleList(
            Block(params.heads, params.head_dim, hidden, self.context_dim) for _ in range(params.depth)
        )
        self.final_modulation = nn.Linear(self.width, 2 * self.width)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier for linears, small normals for the embeddings, zeros where a residual branch ends."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for embedding in (self.time_embedding, self.size_embedding):
            for layer in (embedding.inner, embedding.outer):
                nn.init.normal_(layer.weight, std=0.02)
        ends = [self.final_modulation, *self.patch_out.values()]
        for block in self.blocks:
            assert isinstance(block, Block)
            ends += (
                [block.modulation] if block.cross_attention is None else [block.modulation, block.cross_attention.out]
            )
        for end in ends:
            nn.init.zeros_(end.get_parameter("weight"))
            nn.init.zeros_(end.get_parameter("bias"))

    def forward(
        self, images: Sequence[Tensor], stages: Sequence[int], time: Tensor, condition: Condition
    ) -> list[Tensor]:
        patches = [self.patches[stage] for stage in stages]
        layout = layout_of(images, patches)
        tokens = [self._embed(x, p) for x, p in zip(images, patches, strict=True)]
        x = tokens[0] if len(tokens) == 1 else torch.cat(tokens)
        signal = F.silu(self._signal(layout, time, condition))
        rope = rope_of(layout, self.params.head_dim)
        for block in self.blocks:
            run = partial(checkpoint, block, use_reentrant=False) if self.checkpointing and self.training else block
            x = run(x, signal, condition, layout, rope)
        shift, scale = self.final_modulation(signal).chunk(2, dim=-1)
        x = modulate(F.layer_norm(x, x.shape[-1:], eps=1e-6), shift, scale, layout)
        return [
            unpatchify(self.patch_out[str(p)](part), p, group.rows, group.cols)
            for part, p, group in zip(layout.split(x), patches, layout.groups, strict=True)
        ]

    def _embed(self, images: Tensor, patch: int) -> Tensor:
        """Images (b c h w) to embedded patches (b*l d).

        A product and a convolution differ in the last bits; like the release, one trains and the other samples.
        """
        layer = self.patch_in[str(patch)]
        assert isinstance(layer, nn.Linear)
        if self.training:
            return layer(patchify(images, patch)).flatten(0, 1)
        kernel = rearrange(layer.weight, "d (c ph pw) -> d c ph pw", ph=patch, pw=patch)
        return rearrange(F.conv2d(images, kernel, layer.bias, stride=patch), "b d h w -> (b h w) d")

    @property
    def compiled_parts(self) -> Sequence[nn.Module]:
        return list(self.blocks)

    def _signal(self, layout: Layout, time: Tensor, condition: Condition) -> Tensor:
        """The conditioning vector (images d): time, what the conditioners give, and tokens a side.

        A non-square image's resolution is the geometric mean of its sides, which is the side of a square.
        """
        signal = self.time_embedding(time)
        if condition.vector is not None:
            signal = signal + condition.vector
        sides = [torch.tensor([group.length**0.5], device=time.device) for group in layout.groups]
        sizes = [
            self.size_embedding(side).expand(group.count, -1) for side, group in zip(sides, layout.groups, strict=True)
        ]
        return signal + (sizes[0] if len(sizes) == 1 else torch.cat(sizes))

    def cost(self, rows: int, cols: int, stage: int, context_tokens: int) -> Cost:
        tokens = rows * cols
        cost = dit_cost(self.params, self.channels, self.patches[stage], tokens, self.context_dim, context_tokens)
        if not self.checkpointing:
            return cost
        inputs_of_blocks = float(tokens * self.width * self.params.depth)
        return replace(cost, activations=inputs_of_blocks + cost.activations / self.params.depth)


def _one_context(own: int | None, conditioners: int | None) -> int | None:
    if own is not None and conditioners is not None and own != conditioners:
        raise SpecError(f"backbone.context_dim is {own}, but the conditioners' tokens have {conditioners} channels")
    return conditioners if own is None else own


def dit_cost(
    params: DiT.Params, channels: int, patch: int, tokens: int, context_dim: int | None, context_tokens: int
) -> Cost:
    """Cost of one evaluation of one image of `tokens` tokens."""
    width, depth = params.heads * params.head_dim, params.depth
    linear = (4 + 2 * params.mlp_ratio) * tokens * width**2 * depth
    attention = 2.0 * tokens**2 * width * depth
    modulation = 6.0 * width**2 * depth
    projections = 2.0 * tokens * patch**2 * channels * width
    kept = (18 + 2 * params.mlp_ratio) * tokens * width * depth
    if context_dim is not None:
        linear += depth * (2 * tokens * width**2 + 2 * context_tokens * context_dim * width)
        attention += depth * 2.0 * tokens * context_tokens * width
        kept += depth * (4 * tokens + 2 * context_tokens) * width
    return Cost(linear + attention + modulation + projections, attention, kept)
