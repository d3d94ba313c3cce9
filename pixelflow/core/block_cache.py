"""Middle blocks of a network left out at some evaluations of the last stage, where they give nearly the same again.

What they add to the tokens is kept from the evaluation before (arXiv 2312.03209, 2406.01125). The first and last blocks
are always computed: they see where the state and the time are.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.component import Settings
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Backbone
from pixelflow.core.query import Output, Query
from pixelflow.system.errors import UsageError


class BlockCacheSpec(Settings):
    """Blocks that are left out at the last stage."""

    every: int = Field(default=2, ge=2)
    """Evaluations that share what the middle blocks gave in the first of them."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Of the blocks, those in the middle that are left out between."""


def leave_out(backbone: Backbone, settings: BlockCacheSpec, stages: int) -> None:
    """Have a backbone leave blocks out, in place; for one drawing.

    Raises:
        UsageError: it has no blocks that can be left out.
    """
    blocks, middle = backbone.residual_blocks[0], _middle(backbone, settings)
    if not middle:
        raise UsageError(
            f"sampling.block_cache: the backbone {backbone.type_name()} has no middle blocks to leave out; "
            "set it to null, or give a larger share"
        )
    cache = _BlockCache(backbone, settings.every, stages - 1)
    for index in middle:
        blocks[index] = _Middle(blocks[index], cache, is_first=index == middle[0], is_last=index == middle[-1])
    backbone.forward = cache  # type: ignore[method-assign]


def blocks_left_out(backbone: Backbone, settings: BlockCacheSpec, nfe: float, asked: int) -> float:
    """How many times a block is left out of one image's evaluations at the last stage.

    Args:
        nfe: evaluations of the network.
        asked: guided velocities that these are spent on, one or two for each.
    """
    pairs = nfe - asked
    left_out = sum(
        each * (count - math.ceil(count / settings.every)) for each, count in ((2, pairs), (1, asked - pairs))
    )
    return left_out * len(_middle(backbone, settings))


def _middle(backbone: Backbone, settings: BlockCacheSpec) -> range:
    """The blocks that are left out."""
    able = backbone.residual_blocks[1]
    count = round(settings.share * len(able))
    first = able.start + (len(able) - count) // 2
    return range(first, first + count)


class _Branch:
    """The evaluations under one condition."""

    def __init__(self, condition: Condition) -> None:
        self.of = weakref.ref(condition)
        self.asked = 0
        self.is_whole = True
        self.entered: Tensor | None = None
        self.added: Tensor | None = None
        """What the middle blocks added (n d)."""


class _BlockCache:
    """A backbone's `forward`, which decides what an evaluation computes."""

    def __init__(self, backbone: Backbone, every: int, stage: int) -> None:
        self._forward, self._every, self._stage = backbone.forward, every, stage
        self._branches: list[_Branch] = []
        self.now: _Branch | None = None
        """Of the evaluation that is under way; None where nothing is kept."""

    def __call__(self, query: Query) -> Output:
        self.now = self._branch(query.condition) if list(query.stages) == [self._stage] else None
        return self._forward(query)

    def _branch(self, condition: Condition) -> _Branch:
        """A batch has the same conditions from its first evaluation to its last."""
        self._branches = [one for one in self._branches if one.of() is not None]
        found = next((one for one in self._branches if one.of() is condition), None)
        if found is None:
            found = _Branch(condition)
            self._branches.append(found)
        found.is_whole = found.asked % self._every == 0
        found.asked += 1
        return found


class _Middle(nn.Module):
    """One of the blocks that are left out."""

    def __init__(self, block: nn.Module, cache: _BlockCache, *, is_first: bool, is_last: bool) -> None:
        super().__init__()
        self.block, self._cache, self._is_first, self._is_last = block, cache, is_first, is_last

    def forward(self, x: Tensor, *others: Any) -> Tensor:
        """(n d) -> (n d)"""
        branch = self._cache.now
        if branch is not None and not branch.is_whole:
            return x + branch.added if self._is_last and branch.added is not None else x
        if branch is not None and self._is_first:
            branch.entered = x
        given: Tensor = self.block(x, *others)
        if branch is not None and self._is_last and branch.entered is not None:
            branch.added, branch.entered = given - branch.entered, None
        return given
