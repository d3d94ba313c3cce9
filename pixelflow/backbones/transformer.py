"""What transformer backbones share: packed patches through adaLN blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, ClassVar

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
    StartsAsIdentity,
    gate,
    modulate,
    rope_of,
)
from pixelflow.core.component import FormerKey
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Backbone, Cost, Output, Query
from pixelflow.core.packing import Group, ImageLayout, Layout, layout_of
from pixelflow.system.errors import SpecError, UsageError

_KEPT_MIXED = 1.0
"""Numbers a token and channel that a block keeps for a batch of several resolutions: what attention gave for all of
them, one behind the other."""
_KEPT_AT_ENDS, _KEPT_MIXED_AT_ENDS = 5.0, 1.0
"""Likewise behind the last block, for the norm, its modulation and the last layer; and more where they are mixed."""

_MOST_SHARED = 1 << 31
"""Bytes of keys and values kept for all evaluations of a batch; of more, each evaluation projects its own."""


class Block(StartsAsIdentity):
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
        """Tokens x (n d), signal (images d), already through its SiLU -> (n d)"""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(signal).chunk(6, dim=-1)
        normed = F.layer_norm(x, x.shape[-1:], eps=1e-6)
        x = x + gate(self.attention(modulate(normed, shift1, scale1, layout), layout, rope), gate1, layout)
        if self.cross_attention is not None and self.cross_norm is not None:
            if condition.tokens is None or condition.mask is None:
                raise UsageError("this network attends to text and got none; give embeddings, or add a conditioner")
            context = self.cross_attention.context(condition.tokens) if condition.shared is None else condition.shared
            x = x + self.cross_attention(self.cross_norm(x), context, condition.mask, layout, rope)
        return x + gate(self.mlp(modulate(self.mlp_norm(x), shift2, scale2, layout)), gate2, layout)

    def zero(self) -> Iterator[nn.Module]:
        yield self.modulation
        if self.cross_attention is not None:
            yield self.cross_attention.out


class Transformer(Backbone):
    """Blocks with 2-D RoPE, qk RMSNorm and a resolution embedding.

    Others are made of it by `make_blocks` and `run_blocks`, `make_ends`, `enter` and `leave`, and the costs.
    """

    may_differ: ClassVar[frozenset[str]] = frozenset({"depth", "text_dim", "until"})

    class Params(Backbone.Params):
        depth: int = Field(default=28, ge=1, le=1000)
        """Transformer blocks."""
        heads: int = Field(default=16, ge=1)
        """Attention heads."""
        head_dim: int = Field(default=72, ge=4)
        """Channels of a head; a multiple of 4 for the 2-D RoPE."""
        mlp_ratio: float = Field(default=4.0, gt=0)
        """Hidden channels of the MLP over the width."""
        text_dim: int | None = Field(default=None, ge=1)
        """Channels of context tokens that come from outside, as embeddings; by default those of the conditioners."""
        until: bool = False
        """Also take a second time, up to which a mean velocity is asked for: for objectives and samplers that jump."""

        former_keys: ClassVar[Mapping[str, FormerKey]] = {"context_dim": "text_dim"}

        @field_validator("head_dim")
        @classmethod
        def _four_parts(cls, value: int) -> int:
            if value % 4:
                raise ValueError(
                    f"must be a multiple of 4 for the 2-D RoPE; use {value // 4 * 4} or {value // 4 * 4 + 4}"
                )
            return value

        @property
        def width(self) -> int:
            """Channels of a token."""
            return self.heads * self.head_dim

        @property
        def hidden(self) -> int:
            """Channels inside the MLP."""
            return int(self.width * self.mlp_ratio)

    params: Params

    def __init__(self, params: Params, *, channels: int, patches: Sequence[int], context_dim: int | None) -> None:
        super().__init__(params)
        self.width = params.width
        self.patches = tuple(patches)
        self.channels = channels
        if params.text_dim is not None and context_dim not in (None, params.text_dim):
            raise SpecError(
                f"backbone.text_dim is {params.text_dim}, but the conditioners' tokens have {context_dim} channels"
            )
        self.context_dim = context_dim if params.text_dim is None else params.text_dim
        self.make_ends(sorted(set(patches)))
        self.time_embedding = ScalarEmbedding(self.width)
        self.size_embedding = ScalarEmbedding(self.width)
        self.until_embedding = ScalarEmbedding(self.width) if params.until else None
        self.blocks = nn.ModuleList(self.make_blocks())
        self.final_modulation = nn.Linear(self.width, 2 * self.width)
        self._initialise()

    def make_blocks(self) -> Iterator[nn.Module]:
        """The blocks, in order."""
        params = self.params
        for _ in range(params.depth):
            yield Block(params.heads, params.head_dim, params.hidden, self.context_dim)

    def make_ends(self, patches: Sequence[int]) -> None:
        """Make the layers of `enter` and `leave` for these patch sizes, and the norm before `leave`."""
        self.patch_in = nn.ModuleDict({str(p): nn.Linear(self.channels * p * p, self.width) for p in patches})
        self.patch_out = nn.ModuleDict({str(p): nn.Linear(self.width, self.channels * p * p) for p in patches})
        self.final_norm: nn.Module = nn.LayerNorm(self.width, eps=1e-6, elementwise_affine=False)

    def enter(self, images: Tensor, patch: int, signal: Tensor) -> tuple[Tensor, Any]:
        """Images (b c h w) with their signal (b d), after its SiLU, to tokens (b*l d) and what `leave` needs of it.

        A product and a convolution differ in the last bits; like the release, one trains and the other samples.
        """
        layer = self.patch_in[str(patch)]
        assert isinstance(layer, nn.Linear)
        if self.training:
            return layer(rearrange(images, "b c (h ph) (w pw) -> (b h w) (c ph pw)", ph=patch, pw=patch)), None
        kernel = rearrange(layer.weight, "d (c ph pw) -> d c ph pw", ph=patch, pw=patch)
        embedded = F.conv2d(images, kernel, layer.bias, stride=patch)
        return rearrange(embedded, "b d h w -> (b h w) d"), None

    def leave(self, tokens: Tensor, patch: int, group: Group, signal: Tensor, kept: Any) -> Tensor:
        """Tokens (b l d) of a group, modulated, to its output (b c h w)."""
        pixels = self.patch_out[str(patch)](tokens)  # in another order than they come in, as in the release
        images: Tensor = rearrange(pixels, "b (h w) (ph pw c) -> b c (h ph) (w pw)", h=group.rows, ph=patch, pw=patch)
        return images

    def zero(self) -> Iterator[nn.Module]:
        """The layers outside the blocks that start at zero, with the weights and biases of each."""
        yield from self.patch_out.values()

    def _initialise(self) -> None:
        """Xavier for linears, small normals for the embeddings, zeros where a residual branch ends."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, ScalarEmbedding):
                for layer in (module.inner, module.outer):
                    nn.init.normal_(layer.weight, std=0.02)
        ends = [self.final_modulation, *self.zero()]
        for module in self.modules():
            if isinstance(module, StartsAsIdentity):
                ends += module.zero()
        for end in ends:
            nn.init.zeros_(end.get_parameter("weight"))
            nn.init.zeros_(end.get_parameter("bias"))

    def forward(self, query: Query) -> Output:
        images, dtype = query.images, self.final_modulation.weight.dtype
        if dtype.itemsize == 2:
            images = [own.to(dtype) for own in images]
        patches = [self.patches[stage] for stage in query.stages]
        layout = layout_of(tuple(own.shape for own in images), tuple(patches), images[0].device)
        signal = F.silu(self._signal(layout, query))
        signals = signal.split([group.count for group in layout.groups])
        entered = [self.enter(*group) for group in zip(images, patches, signals, strict=True)]
        tokens = [own for own, _ in entered]
        x = tokens[0] if len(tokens) == 1 else torch.cat(tokens)
        kept_features: dict[int, Tensor] = {}
        for index, x in enumerate(self.run_blocks(x, signal, query.condition, layout)):  # noqa: B020
            if index in query.taps:
                kept_features[index] = x
        shift, scale = self.final_modulation(signal).chunk(2, dim=-1)
        x = modulate(self.final_norm(x), shift, scale, layout)
        left = zip(x.split([len(own) for own in tokens]), patches, layout.groups, signals, entered, strict=True)
        groups = [
            self.leave(own.unflatten(0, (group.count, -1)), patch, group, part, kept)
            for own, patch, group, part, (_, kept) in left
        ]
        return Output(groups, [_maps(kept_features[tap], layout) for tap in query.taps])

    def run_blocks(self, x: Tensor, signal: Tensor, condition: Condition, layout: ImageLayout) -> Iterator[Tensor]:
        """The images' tokens (n d) behind each block.

        Args:
            x: (n d) packed as `layout` says.
            signal: (images d) already through its SiLU.
        """
        rope = rope_of(layout, self.params.head_dim)
        shared = [None] * len(self.blocks) if condition.shared is None else condition.shared
        for block, own in zip(self.blocks, shared, strict=True):
            x = self.saving(block)(x, signal, replace(condition, shared=own), layout, rope)
            yield x

    def saving(self, block: nn.Module) -> Callable[..., Any]:
        """The block, recomputed in the backward pass where memory is to be saved."""
        is_saving = self.activation_checkpointing and self.training
        return partial(checkpoint, block, use_reentrant=False) if is_saving else block

    @property
    def runs_in_16_bits(self) -> bool:
        return type(self).__module__.startswith("pixelflow.backbones.")  # others may make tensors of their own

    @property
    def residual_blocks(self) -> tuple[nn.ModuleList, range]:
        return self.blocks, range(len(self.blocks))

    def block_macs(self, rows: int, cols: int, context_tokens: int) -> float:
        return self.cost_of_blocks(rows * cols, context_tokens).macs / len(self.blocks)

    @property
    def runs_in_graphs(self) -> bool:
        return self.runs_in_16_bits  # of the same backbones it is known

    def shared(self, condition: Condition) -> Condition:
        """Keys and values of the text for every block, as far as they fit into `_MOST_SHARED`."""
        dtype = self.final_modulation.weight.dtype
        vector, tokens = (None if own is None else own.to(dtype) for own in (condition.vector, condition.tokens))
        condition = replace(condition, vector=vector, tokens=tokens)
        attended = [block.cross_attention for block in self.blocks if isinstance(block, Block)]
        layers = [layer for layer in attended if layer is not None]
        if tokens is None or len(layers) < len(self.blocks):
            return condition
        size = len(layers) * 2 * tokens.shape[0] * tokens.shape[1] * self.width * dtype.itemsize
        return condition if size > _MOST_SHARED else replace(condition, shared=[own.context(tokens) for own in layers])

    @property
    def takes_until(self) -> bool:
        return self.params.until

    @property
    def tap_widths(self) -> Sequence[int]:
        return [self.width] * self.params.depth

    @property
    def ends(self) -> Sequence[nn.Module]:
        return [*self.patch_in.values(), *self.patch_out.values()]

    @property
    def compiled_parts(self) -> Sequence[nn.Module]:
        return list(self.blocks)

    @property
    def sharded_parts(self) -> Sequence[nn.Module]:
        return list(self.blocks)

    def _signal(self, layout: ImageLayout, query: Query) -> Tensor:
        """The conditioning vector (images d): time, what the conditioners give, and tokens a side.

        A non-square image's resolution is the geometric mean of its sides, which is the side of a square.
        """
        signal = self.time_embedding(query.time)
        if query.condition.vector is not None:
            signal = signal + query.condition.vector
        if self.until_embedding is not None:
            until = query.time if query.until is None else query.until
            signal = signal + self.until_embedding(until - query.time)
        sides = [_side(group.rows, group.cols, query.time.device) for group in layout.groups]
        sizes = [
            self.size_embedding(side).expand(group.count, -1) for side, group in zip(sides, layout.groups, strict=True)
        ]
        given: Tensor = signal + (sizes[0] if len(sizes) == 1 else torch.cat(sizes))
        return given

    def cost(self, rows: int, cols: int, stage: int, context_tokens: int) -> Cost:
        tokens = rows * cols
        blocks = self.cost_of_blocks(tokens, context_tokens)
        ends = self.cost_of_ends(tokens, self.patches[stage])
        own, depth = float(tokens * self.width), self.params.depth
        is_mixed = len(self.patches) > 1
        kept = blocks.activations + (_KEPT_MIXED * own * depth if is_mixed else 0)
        if self.activation_checkpointing:  # every block's input, and all of the block that is being recomputed
            kept = own * depth + max(kept / depth, self.largest_block_of_ends(tokens))
        kept += (_KEPT_AT_ENDS + (_KEPT_MIXED_AT_ENDS if is_mixed else 0)) * own
        return Cost(blocks.macs + ends.macs, blocks.attention_macs + ends.attention_macs, kept + ends.activations)

    def cost_of_blocks(self, tokens: int, context_tokens: int) -> Cost:
        """Cost of all blocks for one evaluation of one image of `tokens` tokens, without checkpointing."""
        return blocks_cost(self.params, tokens, self.context_dim, context_tokens)

    def cost_of_ends(self, tokens: int, patch: int) -> Cost:
        """Cost of `enter` and `leave` for one image of `tokens` tokens; with checkpointing, of what stays of them."""
        return Cost(2.0 * tokens * patch**2 * self.channels * self.width, 0.0, 0.0)

    def largest_block_of_ends(self, tokens: int) -> float:
        """Numbers that the largest block recomputed in `enter` or `leave` keeps for one image."""
        return 0.0


def _maps(x: Tensor, layout: ImageLayout) -> list[Tensor]:
    """Tokens (n d) as one map (b d rows cols) a group."""
    groups = zip(layout.split(x), layout.groups, strict=True)
    return [rearrange(own, "b (h w) d -> b d h w", h=group.rows) for own, group in groups]


@lru_cache(maxsize=64)
def _side(rows: int, cols: int, device: torch.device) -> Tensor:
    """Tokens a side (1) of an image; kept, because each copy to a GPU would wait for it."""
    return torch.tensor([(rows * cols) ** 0.5], device=device)


def blocks_cost(params: Transformer.Params, tokens: int, context_dim: int | None, context_tokens: int) -> Cost:
    """Cost of blocks of self-attention and an MLP, with cross-attention where there is a context, for one image."""
    width, depth = params.width, params.depth
    linear = (4.0 * width + 2 * params.hidden) * tokens * width * depth
    attention = 2.0 * tokens**2 * width * depth
    modulation = 6.0 * width**2 * depth
    kept = (17.0 * width + 2 * params.hidden) * tokens * depth
    if context_dim is not None:
        linear += depth * (2 * tokens * width**2 + 2 * context_tokens * context_dim * width)
        attention += depth * 2.0 * tokens * context_tokens * width
        kept += depth * (4 * tokens + 2 * context_tokens) * width
    return Cost(linear + attention + modulation, attention, kept)
