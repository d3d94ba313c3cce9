"""Captions through a small transformer over their UTF-8 bytes, trained with the backbone: no files, no vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field, model_validator
from torch import Tensor, nn

from pixelflow.conditioners.captions import Rows, checked, trimmed
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Conditioner
from pixelflow.core.problems import problem

_END = 256
"""The token behind a caption's last byte; the empty caption is this token alone."""
_SPACE = ord(" ")


class ByteText(Conditioner):
    """Bytes to context tokens: embedding, a convolution that sees words, transformer layers.

    Bytes instead of a vocabulary as in ByT5 (arXiv 2105.13626); the convolution before the layers as in CANINE
    (arXiv 2103.06874), so that a shallow network need not spell. With ``words`` a word becomes one token before the
    layers, a fifth of the tokens: the mean over its bytes, as in character-aware language models (arXiv 1508.06615),
    and an embedding of its own, found by a hash (arXiv 1709.03933). From spelling alone a word's meaning is learned
    late; an embedding has it after some hundred steps.
    """

    reads: ClassVar[str] = "caption"
    may_differ: ClassVar[frozenset[str]] = frozenset({"depth", "max_bytes"})

    class Params(Conditioner.Params):
        type: Literal["bytes"] = "bytes"
        dim: int = Field(default=256, ge=8)
        """Channels of the encoder and of its tokens."""
        depth: int = Field(default=2, ge=0)
        """Transformer layers."""
        heads: int = Field(default=4, ge=1)
        """Attention heads; they divide ``dim``."""
        kernel: int = Field(default=7, ge=1)
        """Bytes that the convolution sees at once; an odd number."""
        words: bool = False
        """One token a word in place of one a byte; for languages that put spaces between words."""
        buckets: int = Field(default=4096, ge=1)
        """Embeddings that words share with ``words``; some times as many as there are frequent words."""
        vector: bool = False
        """Also give the mean of its tokens, through a linear layer, as a vector that is added to the time's."""
        max_bytes: int = Field(default=256, ge=2)
        """Longest caption, its end included; the rest of a longer one is cut off."""

        @model_validator(mode="after")
        def _fits(self) -> ByteText.Params:
            if self.dim % self.heads:
                raise problem(f"{self.heads} heads do not divide the {self.dim} channels", "heads")
            if self.kernel % 2 == 0:
                raise problem(f"must be odd; use {self.kernel - 1} or {self.kernel + 1}", "kernel")
            return self

        @property
        def context_dim(self) -> int:
            return self.dim

        @property
        def context_tokens(self) -> int:
            """Words parted by one space are most if all have one letter: two bytes each, and the end."""
            return (self.max_bytes + 3) // 2 if self.words else self.max_bytes

    params: Params

    def __init__(self, params: Params, *, width: int) -> None:
        super().__init__(params)
        self._rows = Rows(params.max_bytes, self.type_name())
        self.table = nn.Embedding(_END + 1, params.dim)
        self.word_table = nn.Embedding(params.buckets, params.dim) if params.words else None
        self.places = nn.Parameter(torch.empty(params.max_bytes, params.dim))
        self.mixing = nn.Conv1d(params.dim, params.dim, params.kernel, padding=params.kernel // 2)
        self.layers = nn.ModuleList(_Layer(params.dim, params.heads) for _ in range(params.depth))
        self.norm = nn.LayerNorm(params.dim)
        self.to_vector = nn.Linear(params.dim, width) if params.vector else None
        for table in (self.table, self.word_table):
            if table is not None:
                nn.init.normal_(table.weight, std=0.5)
        nn.init.normal_(self.places, std=0.02)

    def prepare(self, values: Sequence[object]) -> Tensor:
        captions = checked(values)
        return self._rows(captions, [[*caption.encode(), _END] for caption in captions])

    def null(self, count: int) -> Tensor:
        return self.prepare([""]).expand(count, -1)

    def forward(self, prepared: Tensor) -> Condition:
        tokens, mask = trimmed(prepared)
        x = self.table(tokens) * mask[..., None]
        near = rearrange(self.mixing(rearrange(x, "b m d -> b d m")), "b d m -> b m d")
        x = x + F.gelu(near)
        if self.word_table is not None:
            hashes = word_hashes(tokens, mask)
            x, mask = by_word(x, tokens, mask)
            x = x + self.word_table(hashes % self.params.buckets)
        x = x + self.places[: x.shape[1]]
        for layer in self.layers:
            x = layer(x, mask)
        x = self.norm(x)
        return Condition(vector=self._vector(x, mask), tokens=x, mask=mask)

    def _vector(self, x: Tensor, mask: Tensor) -> Tensor | None:
        """The mean of a caption's tokens (b m d) as a vector (b width); None where none is wanted."""
        if self.to_vector is None:
            return None
        counted = mask[..., None].to(x.dtype)
        given: Tensor = self.to_vector((x * counted).sum(dim=1) / counted.sum(dim=1))
        return given


def by_word(x: Tensor, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Means of x (b m d) over the words of tokens (b m), with their mask: (b words d), (b words).

    A word begins with the space before it; the end of a caption is a word of its own.
    """
    word = _word_of_byte(tokens, mask)
    places = torch.arange(int(word.max()) + 1, device=x.device)
    member = word[:, None] == rearrange(places, "words -> words 1")
    sizes = member.sum(dim=2)
    means = member.to(x.dtype) @ x / sizes.clamp(min=1)[..., None]
    return means, sizes > 0


def word_hashes(tokens: Tensor, mask: Tensor) -> Tensor:
    """A 32-bit number for each word of tokens (b m), from its letters alone: (b words) int64; 0 for no word.

    Sums over letters that are mixed with their place in the word; integers, so equal on every device.
    """
    word = _word_of_byte(tokens, mask)
    is_letter = mask & (tokens != _SPACE)
    letters = is_letter.long().cumsum(dim=1)
    begins = word.diff(dim=1, prepend=torch.full_like(word[:, :1], -1)) != 0
    before = torch.where(begins, letters - is_letter.long(), 0).cummax(dim=1).values
    mixed = (tokens + 1) * 2654435761 + (letters - before) * 2246822519
    for _ in range(2):
        mixed = ((mixed >> 15) ^ mixed) * 2246822519 & 0xFFFFFFFF
    hashes = torch.zeros(len(tokens), int(word.max()) + 1, dtype=torch.long, device=tokens.device)
    hashes.scatter_add_(1, word.clamp(min=0), torch.where(is_letter, mixed, 0))
    return hashes & 0xFFFFFFFF


def _word_of_byte(tokens: Tensor, mask: Tensor) -> Tensor:
    """The number of each byte's word, 0, 1, ... (b m); -1 behind a caption's end."""
    begins = ((tokens == _SPACE) | (tokens == _END)).long()
    return (begins.cumsum(dim=1) - begins[:, :1]).masked_fill(~mask, -1)


class _Layer(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.inner = nn.Linear(dim, 4 * dim)
        self.outer = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """X (b m d), mask (b m) -> (b m d)"""
        q, k, v = rearrange(
            self.qkv(self.attention_norm(x)), "b m (three heads d) -> three b heads m d", three=3, heads=self.heads
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=rearrange(mask, "b m -> b 1 1 m"))
        x = x + self.out(rearrange(attended, "b heads m d -> b m (heads d)"))
        given: Tensor = x + self.outer(F.gelu(self.inner(self.mlp_norm(x))))
        return given
