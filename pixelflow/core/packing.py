"""A batch of mixed resolutions as one token sequence, without padding.

Images of equal shape lie together in groups; the tokens of all groups are concatenated along the sequence
(Patch n' Pack, arXiv 2307.06304). ``Layout`` knows which tokens belong to which image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from einops import rearrange
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """`count` images of `rows` x `cols` tokens."""

    count: int
    rows: int
    cols: int

    @property
    def length(self) -> int:
        """Tokens of one image."""
        return self.rows * self.cols


@dataclass(frozen=True)
class Layout:
    """How the images of a packed batch lie in its sequence. Get one from `layout_of`, which caches them."""

    groups: tuple[Group, ...]
    device: torch.device

    @property
    def is_uniform(self) -> bool:
        """Whether all images have one shape, so that the sequence is a plain batch."""
        return len(self.groups) == 1

    @property
    def images(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def tokens(self) -> int:
        return sum(group.count * group.length for group in self.groups)

    @property
    def longest(self) -> int:
        """Tokens of the largest image."""
        return max(group.length for group in self.groups)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each image, in order."""
        return tuple(group.length for group in self.groups for _ in range(group.count))

    @cached_property
    def bounds(self) -> Tensor:
        """Cumulative lengths (images+1), int32: the form that varlen attention kernels take."""
        lengths = torch.tensor([0, *self.lengths], dtype=torch.int32)
        return lengths.cumsum(0, dtype=torch.int32).to(self.device)

    @cached_property
    def image_of_token(self) -> Tensor:
        """Index (n) of each token's image."""
        lengths = torch.tensor(self.lengths)
        return torch.repeat_interleave(torch.arange(len(lengths)), lengths).to(self.device)

    def split(self, tokens: Tensor) -> list[Tensor]:
        """Split tokens (n ...) into one (count length ...) view a group."""
        if self.is_uniform:
            return [tokens.unflatten(0, (self.groups[0].count, self.groups[0].length))]
        parts = tokens.split([group.count * group.length for group in self.groups])
        return [part.unflatten(0, (group.count, group.length)) for part, group in zip(parts, self.groups, strict=True)]


@lru_cache(maxsize=64)
def _cached_layout(groups: tuple[Group, ...], device: torch.device) -> Layout:
    layout = Layout(groups, device)
    if not layout.is_uniform:  # made here, not within a compiled block, whose recomputation would then differ
        assert len(layout.bounds) == layout.images + 1
        assert len(layout.image_of_token) == layout.tokens
    return layout


def layout_of(images: Sequence[Tensor], patches: Sequence[int]) -> Layout:
    """The layout of image groups (b c h w), each cut into squares of its own patch size.

    Raises:
        ValueError: a side is not a multiple of the patch size.
    """
    groups = []
    for group, patch in zip(images, patches, strict=True):
        height, width = group.shape[-2:]
        if height % patch or width % patch:
            raise ValueError(f"an image of {height}x{width} pixels cannot be cut into patches of {patch}")
        groups.append(Group(group.shape[0], height // patch, width // patch))
    return _cached_layout(tuple(groups), images[0].device)


def patchify(images: Tensor, patch: int) -> Tensor:
    """Images (b c h w) to tokens (b l c*p*p), each a patch in the order (c, ph, pw) of the release's input."""
    return rearrange(images, "b c (h ph) (w pw) -> b (h w) (c ph pw)", ph=patch, pw=patch)


def unpatchify(tokens: Tensor, patch: int, rows: int, cols: int) -> Tensor:
    """Tokens (b l p*p*c) in the order (ph, pw, c) of the release's output projection to images (b c h w)."""
    return rearrange(tokens, "b (h w) (ph pw c) -> b c (h ph) (w pw)", h=rows, w=cols, ph=patch, pw=patch)
