"""What a batch of images is conditioned on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """A conditioning vector (added to the time embedding), context tokens (cross-attended to), or both."""

    vector: Tensor | None = None
    """(b width)"""
    tokens: Tensor | None = None
    """(b m context_dim)"""
    mask: Tensor | None = None
    """(b m), true where a token counts"""
    shared: Any = None
    """What a backbone made of these images' tokens for all evaluations; see `Backbone.shared`."""

    @staticmethod
    def batched(parts: Sequence[Condition]) -> Condition:
        """Conditions of several batches, one after the other; shorter contexts are padded and masked."""
        tokens = [part.tokens for part in parts if part.tokens is not None]
        masks = [part.mask for part in parts if part.mask is not None]
        vectors = [part.vector for part in parts if part.vector is not None]
        longest = max((t.shape[1] for t in tokens), default=0)
        return Condition(
            vector=torch.cat(vectors) if vectors else None,
            tokens=torch.cat([F.pad(t, (0, 0, 0, longest - t.shape[1])) for t in tokens]) if tokens else None,
            mask=torch.cat([F.pad(m, (0, longest - m.shape[1])) for m in masks]) if masks else None,
        )

    @staticmethod
    def joined(parts: Sequence[Condition]) -> Condition:
        """Several conditions of the same images: vectors add up, contexts lie one behind the other."""
        vectors = [part.vector for part in parts if part.vector is not None]
        tokens = [part.tokens for part in parts if part.tokens is not None]
        masks = [part.mask for part in parts if part.mask is not None]
        return Condition(
            vector=torch.stack(vectors).sum(0) if vectors else None,
            tokens=torch.cat(tokens, dim=1) if tokens else None,
            mask=torch.cat(masks, dim=1) if masks else None,
        )

    def at(self, index: Tensor | slice) -> Condition:
        """The conditions of some of the images."""
        return Condition(*(None if part is None else part[index] for part in (self.vector, self.tokens, self.mask)))
