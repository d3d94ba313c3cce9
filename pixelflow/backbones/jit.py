"""Just image Transformers: a plain network for clean images in coarse patches (JiT, arXiv 2511.13720)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field, model_validator
from torch import Tensor, nn

from pixelflow.backbones.layers import (
    RMSNorm,
    Rope,
    StartsAsIdentity,
    gate,
    joint_rope,
    modulate,
    rope_of,
    rotate,
)
from pixelflow.backbones.transformer import Transformer, blocks_cost
from pixelflow.core.attention import self_attention
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Cost
from pixelflow.core.packing import ImageLayout, Joint, Layout, packed
from pixelflow.core.problems import problem
from pixelflow.system.errors import UsageError


class SwiGLU(nn.Module):
    """linear, gated by the SiLU of another, linear (arXiv 2002.05202); (n d) -> (n d)"""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, 2 * hidden)
        self.outer = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gated, values = self.inner(x).chunk(2, dim=-1)
        given: Tensor = self.outer(F.silu(gated) * values)
        return given


class PlainBlock(StartsAsIdentity):
    """adaLN-modulated self-attention and SwiGLU, both behind RMSNorm; q and k are normed head by head."""

    def __init__(self, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__()
        width = heads * head_dim
        self.heads = heads
        self.modulation = nn.Linear(width, 6 * width)
        self.norm = RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = RMSNorm(head_dim)
        self.k_norm = RMSNorm(head_dim)
        self.out = nn.Linear(width, width)
        self.mlp_norm = RMSNorm(width)
        self.mlp = SwiGLU(width, hidden)

    def forward(self, x: Tensor, signal: Tensor, layout: Layout, rope: Rope) -> Tensor:
        """Tokens x (n d), signal (images d), already through its SiLU -> (n d)"""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(signal).chunk(6, dim=-1)
        given = self.qkv(modulate(self.norm(x), shift1, scale1, layout))
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in given.chunk(3, dim=-1))
        attended = self_attention(rotate(self.q_norm(q), rope), rotate(self.k_norm(k), rope), v, layout)
        x = x + gate(self.out(attended.flatten(-2)), gate1, layout)
        return x + gate(self.mlp(modulate(self.mlp_norm(x), shift2, scale2, layout)), gate2, layout)

    def zero(self) -> Iterator[nn.Module]:
        yield self.modulation


class JiT(Transformer):
    """SwiGLU, RMSNorm, RoPE and a bottleneck patch embedding, with class tokens in context from a middle block on.

    Made for ``objective.prediction: clean``. Text, where there is any, joins the class tokens.
    """

    class Params(Transformer.Params):
        type: Literal["jit"] = "jit"
        bottleneck: int = Field(default=128, ge=1)
        """Channels that a patch passes through on its way in."""
        class_tokens: int = Field(default=32, ge=0)
        """Copies of the condition's vector that are tokens of the sequence, each with a learned position."""
        context_from: int | None = Field(default=None, ge=0)
        """First block that sees the tokens in context; by default behind a third of the blocks."""

        @property
        def hidden(self) -> int:
            """Two thirds: SwiGLU has three matrices in place of two."""
            return max(1, int(self.width * self.mlp_ratio * 2 / 3))

        @property
        def first(self) -> int:
            """First block that sees the tokens in context."""
            return self.depth // 3 if self.context_from is None else self.context_from

        @model_validator(mode="after")
        def _is_within(self) -> JiT.Params:
            if self.first >= self.depth:
                raise problem(f"must be below the depth, {self.depth}", "context_from")
            return self

    params: Params

    def make_ends(self, patches: Sequence[int]) -> None:
        super().make_ends(patches)
        params = self.params
        self.patch_in = nn.ModuleDict(
            {
                str(p): nn.Sequential(
                    nn.Linear(self.channels * p * p, params.bottleneck), nn.Linear(params.bottleneck, self.width)
                )
                for p in patches
            }
        )
        self.final_norm = RMSNorm(self.width)
        self.text_in = None if self.context_dim is None else nn.Linear(self.context_dim, self.width)
        self.places = nn.Parameter(torch.empty(params.class_tokens, self.width)) if params.class_tokens else None
        if self.places is not None:
            nn.init.normal_(self.places, std=0.02)

    def make_blocks(self) -> Iterator[nn.Module]:
        params = self.params
        for _ in range(params.depth):
            yield PlainBlock(params.heads, params.head_dim, params.hidden)

    def enter(self, images: Tensor, patch: int, signal: Tensor) -> tuple[Tensor, None]:
        patches = rearrange(images, "b c (h ph) (w pw) -> (b h w) (c ph pw)", ph=patch, pw=patch)
        return self.patch_in[str(patch)](patches), None

    def run_blocks(self, x: Tensor, signal: Tensor, condition: Condition, layout: ImageLayout) -> Iterator[Tensor]:
        first, head_dim = self.params.first, self.params.head_dim
        rope = rope_of(layout, head_dim)
        for block in self.blocks[:first]:
            x = self.saving(block)(x, signal, layout, rope)
            yield x
        context, of_context = self._context(condition, layout, x)
        joint = Joint.of(of_context, layout)
        rope, x = joint_rope(joint, layout, head_dim), joint.merge(context, x)
        for block in self.blocks[first:]:
            x = self.saving(block)(x, signal, joint.layout, rope)
            yield joint.split(x)[1]

    def _context(self, condition: Condition, layout: ImageLayout, like: Tensor) -> tuple[Tensor, Layout]:
        """The tokens in context (n d) of all images: copies of the vector, then text; with their layout."""
        counts = [group.count for group in layout.groups]
        tokens, mask = like.new_empty(layout.images, 0, self.width), like.new_empty(layout.images, 0, dtype=torch.bool)
        if self.places is not None:
            vector = like.new_zeros(layout.images, self.width) if condition.vector is None else condition.vector
            tokens = vector[:, None] + self.places
            mask = mask.new_ones(tokens.shape[:2])
        if self.text_in is None:
            lengths = [tokens.shape[1]] * layout.images
            return tokens.flatten(0, 1).to(like.dtype), Layout.of(lengths, like.device, counts)
        if condition.tokens is None or condition.mask is None:
            raise UsageError("this network attends to text and got none; give embeddings, or add a conditioner")
        tokens = torch.cat([tokens, self.text_in(condition.tokens)], dim=1).to(like.dtype)
        return packed(tokens, torch.cat([mask, condition.mask.bool()], dim=1), counts)

    @property
    def residual_blocks(self) -> tuple[nn.ModuleList, range]:
        return self.blocks, range(self.params.first, len(self.blocks))  # before, the sequence is another one

    @property
    def runs_in_graphs(self) -> bool:
        return super().runs_in_graphs and self.text_in is None  # how text is packed depends on its mask

    @property
    def ends(self) -> Sequence[nn.Module]:
        ways_in = [way[0] for way in self.patch_in.values() if isinstance(way, nn.Sequential)]
        return [*ways_in, *self.patch_out.values()]

    def cost_of_blocks(self, tokens: int, context_tokens: int) -> Cost:
        params, width = self.params, self.width
        extra = params.class_tokens + (0 if self.context_dim is None else context_tokens)
        within = params.model_copy(update={"depth": params.depth - params.first})
        parts = [blocks_cost(within, tokens + extra, None, 0)]
        if params.first:
            parts.append(blocks_cost(params.model_copy(update={"depth": params.first}), tokens, None, 0))
        text_in = 0.0 if self.context_dim is None else float(context_tokens * self.context_dim * width)
        places = float(tokens * params.depth + extra * within.depth)
        third = places * width * params.hidden  # SwiGLU has three matrices, an MLP two
        return Cost(
            sum(part.macs for part in parts) + third + text_in,
            sum(part.attention_macs for part in parts),
            places * (18 * width + 4 * params.hidden),
        )

    def cost_of_ends(self, tokens: int, patch: int) -> Cost:
        pixels, bottleneck = patch**2 * self.channels, self.params.bottleneck
        return Cost(float(tokens * (bottleneck * (pixels + self.width) + pixels * self.width)), 0.0, 0.0)
