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
    def between(first: Condition, second: Condition, shares: Tensor) -> Condition:
        """What lies on the straight line between two conditions of the same images; shorter contexts are padded.

        Args:
            shares: (b) of the second; where it is 0 or 1, the condition is the first or the second itself.
        """
        whole = Condition.batched([first, second])
        count = len(shares)
        ends = [whole.at(slice(0, count)), whole.at(slice(count, None))]
        vector, tokens = (
            None if a is None or b is None else torch.lerp(a, b, shares.to(a).view(-1, *[1] * (a.ndim - 1)))
            for a, b in ((ends[0].vector, ends[1].vector), (ends[0].tokens, ends[1].tokens))
        )
        mask = None
        if ends[0].mask is not None and ends[1].mask is not None:
            mask = torch.where(shares[:, None].to(ends[0].mask.device) < 1, ends[0].mask, False)
            mask = mask | torch.where(shares[:, None].to(mask.device) > 0, ends[1].mask, False)
        return Condition(vector, tokens, mask)

    def at(self, index: Tensor | slice) -> Condition:
        """The conditions of some of the images."""
        return Condition(*(None if part is None else part[index] for part in (self.vector, self.tokens, self.mask)))
