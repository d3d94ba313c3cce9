"""Joint attention of text and image tokens: the network of Stable Diffusion 3 (MMDiT, arXiv 2403.03206 section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from pixelflow.backbones.layers import (
    MLP,
    RMSNorm,
    Rope,
    StartsAsIdentity,
    gate,
    modulate,
    rope_of,
    rotate,
)
from pixelflow.backbones.transformer import Transformer, blocks_cost
from pixelflow.core.attention import joint_attention
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Cost
from pixelflow.core.packing import ImageLayout, Joint, Layout, packed
from pixelflow.system.errors import UsageError


class Stream(StartsAsIdentity):
    """One stream's own weights in a block; the last block reads text and does not write it."""

    def __init__(self, heads: int, head_dim: int, hidden: int, writes: bool = True) -> None:
        super().__init__()
        width = heads * head_dim
        self.heads, self.writes = heads, writes
        self.modulation = nn.Linear(width, (6 if writes else 2) * width)
        self.qkv = nn.Linear(width, 3 * width) if writes else nn.Linear(width, 2 * width)
        self.q_norm = RMSNorm(width) if writes else None
        self.k_norm = RMSNorm(width)
        self.out = nn.Linear(width, width) if writes else None
        self.mlp_norm = RMSNorm(width) if writes else None
        self.mlp = MLP(width, hidden) if writes else None

    def read(self, x: Tensor, parts: tuple[Tensor, ...], layout: Layout) -> tuple[Tensor, ...]:
        """Queries (if it writes), keys and values (n heads d) of its tokens (n d)."""
        shift, scale = parts[:2]
        given = self.qkv(modulate(F.layer_norm(x, x.shape[-1:], eps=1e-6), shift, scale, layout))
        *q, k, v = given.chunk(3 if self.writes else 2, dim=-1)
        normed = [self.q_norm(one) for one in q if self.q_norm is not None]
        return tuple(part.unflatten(-1, (self.heads, -1)) for part in (*normed, self.k_norm(k), v))

    def write(self, x: Tensor, attended: Tensor, parts: tuple[Tensor, ...], layout: Layout) -> Tensor:
        """Its tokens (n d) with what they attended to (n heads d), and through the MLP."""
        if self.out is None or self.mlp is None or self.mlp_norm is None:
            return x
        _, _, gate1, shift2, scale2, gate2 = parts
        x = x + gate(self.out(attended.flatten(-2)), gate1, layout)
        return x + gate(self.mlp(modulate(self.mlp_norm(x), shift2, scale2, layout)), gate2, layout)

    def parts(self, signal: Tensor) -> tuple[Tensor, ...]:
        """Shifts, scales and gates (images d) of the signal (images d)."""
        given: tuple[Tensor, ...] = self.modulation(signal).chunk(6 if self.writes else 2, dim=-1)
        return given

    def zero(self) -> Iterator[nn.Module]:
        yield self.modulation


class JointBlock(nn.Module):
    """Text and image tokens with weights of their own, in one attention."""

    def __init__(self, heads: int, head_dim: int, hidden: int, is_last: bool) -> None:
        super().__init__()
        self.image = Stream(heads, head_dim, hidden)
        self.text = Stream(heads, head_dim, hidden, writes=not is_last)

    def forward(
        self, x: Tensor, text: Tensor, signal: Tensor, layout: Layout, of_text: Layout, joint: Joint, rope: Rope
    ) -> tuple[Tensor, Tensor]:
        """Image tokens (n d) and text tokens (m d), packed, signal (images d) -> both again"""
        image_parts, text_parts = self.image.parts(signal), self.text.parts(signal)
        q, k, v = self.image.read(x, image_parts, layout)
        *text_q, text_k, text_v = self.text.read(text, text_parts, of_text)
        queries = text_q[0] if text_q else text_k  # of the last block's text nobody asks what it attended to
        of_words, of_pixels = joint_attention((queries, text_k, text_v), (rotate(q, rope), rotate(k, rope), v), joint)
        x = self.image.write(x, of_pixels, image_parts, layout)
        return x, self.text.write(text, of_words, text_parts, of_text)


class MMDiT(Transformer):
    """Text and image tokens attend to each other in one packed sequence; without text it is a `dit`.

    Text takes part as it is, without padding and without positions of its own, which its encoder has given it.
    """

    class Params(Transformer.Params):
        type: Literal["mmdit"] = "mmdit"

    params: Params

    def make_blocks(self) -> Iterator[nn.Module]:
        params = self.params
        if self.context_dim is None:
            yield from super().make_blocks()
            return
        for index in range(params.depth):
            yield JointBlock(params.heads, params.head_dim, params.hidden, index == params.depth - 1)

    def make_ends(self, patches: Sequence[int]) -> None:
        super().make_ends(patches)
        self.text_in = None if self.context_dim is None else nn.Linear(self.context_dim, self.width)

    def run_blocks(self, x: Tensor, signal: Tensor, condition: Condition, layout: ImageLayout) -> Iterator[Tensor]:
        if self.text_in is None:
            yield from super().run_blocks(x, signal, condition, layout)
            return
        if condition.tokens is None or condition.mask is None:
            raise UsageError("this network attends to text and got none; give embeddings, or add a conditioner")
        words, of_text = packed(condition.tokens, condition.mask, [group.count for group in layout.groups])
        text, joint, rope = self.text_in(words), Joint.of(of_text, layout), rope_of(layout, self.params.head_dim)
        for block in self.blocks:
            x, text = self.saving(block)(x, text, signal, layout, of_text, joint, rope)
            yield x

    @property
    def residual_blocks(self) -> tuple[nn.ModuleList, range]:
        return self.blocks, range(len(self.blocks) if self.text_in is None else 0)  # text goes through them too

    @property
    def runs_in_graphs(self) -> bool:
        return super().runs_in_graphs and self.text_in is None  # how text is packed depends on its mask

    def cost_of_blocks(self, tokens: int, context_tokens: int) -> Cost:
        """Text tokens cost what image tokens do, but that the last block only reads them."""
        params, width = self.params, self.width
        if self.context_dim is None:
            return super().cost_of_blocks(tokens, context_tokens)
        images = blocks_cost(params, tokens, None, 0)
        words = blocks_cost(params, context_tokens, None, 0)
        attention = 2.0 * (tokens + context_tokens) ** 2 * width * params.depth
        idle = context_tokens * width * (2 * width + 2 * params.hidden) + 4.0 * width**2
        linear = images.macs + words.macs - images.attention_macs - words.attention_macs - idle
        text_in = float(context_tokens * (self.context_dim or 0) * width)
        return Cost(linear + attention + text_in, attention, images.activations + words.activations)
