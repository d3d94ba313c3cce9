"""Sequences of mixed lengths as one, without padding: images of mixed resolutions, and text beside them.

Images of equal shape lie together in groups; the tokens of all groups are concatenated along the sequence
(Patch n' Pack, arXiv 2307.06304). ``Layout`` knows which tokens belong to which image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import count, groupby
from typing import TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Span:
    """Neighbouring sequences that a batched attention takes in one call."""

    lengths: tuple[int, ...]

    @cached_property
    def count(self) -> int:
        return len(self.lengths)

    @cached_property
    def longest(self) -> int:
        return max(self.lengths)

    @cached_property
    def is_even(self) -> bool:
        """Whether all have one length, so that they need no padding."""
        return min(self.lengths) == self.longest

    @cached_property
    def tokens(self) -> int:
        return sum(self.lengths)


@dataclass(frozen=True)
class Padding:
    """How the sequences of an uneven span become a batch, and back."""

    rows: Tensor
    """(count longest) the place in the span of each token; 0 where there is none"""
    is_token: Tensor
    """(count longest)"""
    places: Tensor
    """(tokens) the place of each token in the flattened batch"""


@dataclass(frozen=True)
class Layout:
    """How a packed sequence holds the tokens of each image. Get one from `layout_of` or `Layout.of`, which cache them.

    Blocks see tensors of it alone (`bounds`, `image_of_unit`) and numbers that are the same for many batches.
    """

    spans: tuple[Span, ...]
    device: torch.device

    @staticmethod
    def of(lengths: Sequence[int], device: torch.device, counts: Sequence[int] | None = None) -> Layout:
        """The layout of sequences of these lengths, one an image; an image may have none.

        Args:
            counts: neighbours that belong into one span each; by default runs of equal lengths.
        """
        return _layout_of_lengths(tuple(lengths), device, None if counts is None else tuple(counts))

    @cached_property
    def is_uniform(self) -> bool:
        """Whether all sequences have one length, so that they are a plain batch."""
        return len(self.spans) == 1 and self.spans[0].is_even

    @cached_property
    def is_one_of_many(self) -> bool:
        """Whether many others of its kind were met before it, so that nothing is compiled for this one alone."""
        return next(_PLAIN) >= MOST_PLAIN if self.is_uniform else next(_MIXES) >= MOST_MIXES

    @cached_property
    def images(self) -> int:
        return sum(span.count for span in self.spans)

    @cached_property
    def tokens(self) -> int:
        return sum(span.tokens for span in self.spans)

    @cached_property
    def longest(self) -> int:
        """Tokens of the largest image."""
        return max(span.longest for span in self.spans)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each image, in order."""
        return tuple(length for span in self.spans for length in span.lengths)

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

    @cached_property
    def unit(self) -> int:
        """The most neighbouring tokens that divide every image.

        What an image gives all of its tokens alike, such as a scale, is given to `units` of so many, and its gradient
        summed within each at first.
        """
        return self.longest if self.is_uniform else math.gcd(*self.lengths)

    @cached_property
    def units(self) -> int:
        return self.images if self.is_uniform else self.tokens // self.unit

    @cached_property
    def image_of_unit(self) -> Tensor:
        """Index (units) of each unit's image."""
        return self.image_of_token[:: self.unit]

    @cached_property
    def paddings(self) -> tuple[Padding | None, ...]:
        """For each span how its sequences become a batch; None where they are one as they lie."""
        return tuple(None if span.is_even else _padding(span, self.device) for span in self.spans)

    def split(self, tokens: Tensor) -> list[Tensor]:
        """Split tokens (n ...) into one (count length ...) view a span, all of which must be even."""
        if self.is_uniform:
            return [tokens.unflatten(0, (self.images, self.longest))]
        parts = tokens.split([span.tokens for span in self.spans])
        return [part.unflatten(0, (span.count, span.longest)) for part, span in zip(parts, self.spans, strict=True)]


MOST_MIXES, MOST_PLAIN = 3, 24
"""Mixes of lengths, and batches of one length, for each of which compiled blocks may have a graph of their own; all
others share one."""
_MIXES, _PLAIN = count(), count()

L = TypeVar("L", bound=Layout)


def _padding(span: Span, device: torch.device) -> Padding:
    offsets, lengths = torch.arange(span.longest), torch.tensor(span.lengths)
    is_token = offsets < lengths[:, None]
    rows = torch.where(is_token, (lengths.cumsum(0) - lengths)[:, None] + offsets, 0)
    return Padding(rows.to(device), is_token.to(device), is_token.flatten().nonzero().flatten().to(device))


_NUMBERS = ("images", "longest", "is_one_of_many", "unit", "units")
_TENSORS = ("bounds", "image_of_unit", "paddings")


def _made(layout: L) -> L:
    """With all that blocks read made here: to make it within a compiled one would break the graph."""
    for span in layout.spans:
        for name in ("count", "longest", "is_even", "tokens"):
            getattr(span, name)
    for name in _NUMBERS if layout.is_uniform else _NUMBERS + _TENSORS:
        getattr(layout, name)
    return layout


@lru_cache(maxsize=64)
def _layout_of_lengths(lengths: tuple[int, ...], device: torch.device, counts: tuple[int, ...] | None) -> Layout:
    if counts is None:
        counts = tuple(len(list(run)) for _, run in groupby(lengths))
    spans, first = [], 0
    for own in counts:
        spans.append(Span(lengths[first : first + own]))
        first += own
    return _made(Layout(tuple(spans), device))


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
class ImageLayout(Layout):
    """The layout of images, with their shapes; a group is a span."""

    groups: tuple[Group, ...]


@lru_cache(maxsize=64)
def layout_of(shapes: tuple[tuple[int, ...], ...], patches: tuple[int, ...], device: torch.device) -> ImageLayout:
    """The layout of image groups of these shapes (b c h w), each cut into squares of its own patch size; kept.

    Raises:
        ValueError: a side is not a multiple of the patch size.
    """
    groups = []
    for (images, _, height, width), patch in zip(shapes, patches, strict=True):
        if height % patch or width % patch:
            raise ValueError(f"an image of {height}x{width} pixels cannot be cut into patches of {patch}")
        groups.append(Group(images, height // patch, width // patch))
    spans = tuple(Span((group.length,) * group.count) for group in groups)
    return _made(ImageLayout(spans, device, tuple(groups)))


def packed(tokens: Tensor, mask: Tensor, counts: Sequence[int]) -> tuple[Tensor, Layout]:
    """Padded tokens (b m d), those where the mask (b m) is true, as a packed sequence (n d) with its layout.

    The lengths come from the mask, so a GPU waits for it once.

    Args:
        counts: neighbouring images that belong into one span each.
    """
    mask = mask.bool()
    return tokens[mask], Layout.of(mask.sum(dim=1).tolist(), tokens.device, counts)


@dataclass(frozen=True, eq=False)  # tensors cannot be compared
class Joint:
    """Two packed sequences as one: of each image first the tokens of the one, then those of the other."""

    layout: Layout
    order: Tensor
    """(n) where each token of the joint sequence lies in both, one behind the other"""
    first: Tensor
    """(n1) where the first sequence's tokens lie in the joint one"""
    second: Tensor
    """(n2) likewise the second's"""

    @staticmethod
    def of(first: Layout, second: Layout) -> Joint:
        """Of two layouts of the same images; the spans are the second's."""
        return _joint(first, second)

    def merge(self, first: Tensor, second: Tensor) -> Tensor:
        """(n1 ...) and (n2 ...) -> (n ...)"""
        # not by an index in brackets, whose gradient allows for what is taken twice and takes three times as long
        return torch.cat([first, second]).index_select(0, self.order)

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(n ...) -> (n1 ...) and (n2 ...)"""
        return tokens.index_select(0, self.first), tokens.index_select(0, self.second)


@lru_cache(maxsize=64)
def _joint(first: Layout, second: Layout) -> Joint:
    lengths = [one + other for one, other in zip(first.lengths, second.lengths, strict=True)]
    layout = Layout.of(lengths, second.device, [span.count for span in second.spans])
    order = torch.cat([first.image_of_token, second.image_of_token]).argsort(stable=True)
    places = order.argsort()
    return Joint(layout, order, places[: first.tokens], places[first.tokens :])
