"""A transformer on patches, with convolutions inside and across them.

The shape is the hourglass of HDiT (arXiv 2401.11605), the convolutional blocks are those of ADM (arXiv 2105.05233).
Neighbouring pixels belong together: convolutions know that from the start, where a plain transformer has to learn it.
Small networks and short trainings gain most. The transformer keeps its own way in and out, beside that through the
convolutions: without it, it learned what a caption means many times slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from pixelflow.backbones.transformer import Transformer
from pixelflow.core.component import FormerKey
from pixelflow.core.interfaces import Cost
from pixelflow.core.packing import Group
from pixelflow.core.problems import problem

_GROUP_CHANNELS = 16
"""Channels that a norm takes together."""


class ResidualBlock(nn.Module):
    """norm, SiLU, convolution, twice; the second norm is modulated by the signal."""

    def __init__(self, channels_in: int, channels: int, width: int) -> None:
        super().__init__()
        self.norm_in = _norm(channels_in)
        self.conv_in = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.modulation = nn.Linear(width, 2 * channels)
        self.norm_out = _norm(channels)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = None if channels_in == channels else nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        """X (b c h w), signal (b d) -> (b channels h w)"""
        shift, scale = rearrange(self.modulation(signal), "b (two c) -> two b c 1 1", two=2)
        inner = self.norm_out(self.conv_in(F.silu(self.norm_in(x))))
        inner = self.conv_out(F.silu(inner * (1 + scale) + shift))
        given: Tensor = inner + (x if self.skip is None else self.skip(x))
        return given


class Level(nn.Module):
    """The blocks at one resolution, before and behind what is coarser."""

    def __init__(self, channels: int, coarser: int, blocks: int, width: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(ResidualBlock(channels, channels, width) for _ in range(blocks))
        self.merge = nn.Conv2d(channels, coarser, 2, stride=2)
        self.split = nn.ConvTranspose2d(coarser, channels, 2, stride=2)
        self.up = nn.ModuleList(
            ResidualBlock(channels if index else 2 * channels, channels, width) for index in range(blocks)
        )


class Hourglass(Transformer):
    """A `dit` with convolutional blocks at finer resolutions before and behind it, and a skip connection at each."""

    class Params(Transformer.Params):
        type: Literal["hourglass"] = "hourglass"
        level_channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(64,), min_length=1)
        """Channels of the convolutions, finest first. Each entry works at twice the resolution of the next, the last at
        twice the transformer's: a patch is halved as often as there are entries."""
        blocks: int = Field(default=2, ge=1)
        """Residual blocks of a resolution, on the way down and on the way up."""

        former_keys: ClassVar[Mapping[str, FormerKey]] = {
            **Transformer.Params.former_keys,
            "channels": "level_channels",
        }

        def check(self, patches: Sequence[int]) -> None:
            levels = len(self.level_channels)
            for patch in patches:
                if patch % 2**levels:
                    raise problem(
                        f"{levels} entries halve patches {levels} times, but cascade.patch is {patch}: make that a "
                        f"multiple of {2**levels}, or give fewer",
                        "level_channels",
                    )

    params: Params

    def make_ends(self, patches: Sequence[int]) -> None:
        params, levels = self.params, len(self.params.level_channels)
        super().make_ends(patches)
        first = params.level_channels[0]
        sides = {patch: patch >> levels for patch in patches}
        self.fine_in = nn.ModuleDict(
            {str(p): nn.Conv2d(self.channels, first, side, stride=side) for p, side in sides.items()}
        )
        self.levels = nn.ModuleList(
            Level(own, coarser, params.blocks, self.width)
            for own, coarser in pairwise([*params.level_channels, self.width])
        )
        self.norm = _norm(first)
        self.fine_out = nn.ModuleDict(
            {str(p): nn.Conv2d(first, self.channels * side**2, 3, padding=1) for p, side in sides.items()}
        )

    def enter(self, images: Tensor, patch: int, signal: Tensor) -> tuple[Tensor, list[Tensor]]:
        tokens, _ = super().enter(images, patch, signal)
        x, kept = self.fine_in[str(patch)](images), []
        for level in self.levels:
            assert isinstance(level, Level)
            for block in level.down:
                x = self.saving(block)(x, signal)
            kept.append(x)
            x = level.merge(x)
        return tokens + rearrange(x, "b d h w -> (b h w) d"), kept

    def leave(self, tokens: Tensor, patch: int, group: Group, signal: Tensor, kept: list[Tensor]) -> Tensor:
        x = rearrange(tokens, "b (h w) d -> b d h w", h=group.rows)
        for level, skipped in zip(reversed(self.levels), reversed(kept), strict=True):
            assert isinstance(level, Level)
            x = torch.cat([level.split(x), skipped], dim=1)
            for block in level.up:
                x = self.saving(block)(x, signal)
        fine = F.pixel_shuffle(self.fine_out[str(patch)](F.silu(self.norm(x))), patch >> len(kept))
        return super().leave(tokens, patch, group, signal, None) + fine

    def zero(self) -> Iterator[nn.Module]:
        yield from super().zero()
        yield from self.fine_out.values()
        for module in self.levels.modules():
            if isinstance(module, ResidualBlock):
                yield from (module.modulation, module.conv_out)

    @property
    def compiled_parts(self) -> Sequence[nn.Module]:
        return [
            *super().compiled_parts,
            *(module for module in self.levels.modules() if isinstance(module, ResidualBlock)),
        ]

    def cost_of_ends(self, tokens: int, patch: int) -> Cost:
        channels, blocks = self.params.level_channels, self.params.blocks
        side = patch >> len(channels)
        macs, kept = super().cost_of_ends(tokens, patch).macs, 0.0
        for index, (own, coarser) in enumerate(pairwise([*channels, self.width])):
            places = tokens * 4 ** (len(channels) - index)
            convolutions = 9 * own**2 * (4 * blocks + 1) + 2 * own**2
            macs += places * (convolutions + 2 * own * coarser) + 4 * blocks * self.width * own
            kept += places * own * (2 * blocks + 2 if self.activation_checkpointing else 16 * blocks + 2)
        macs += self._finest(tokens) * self.channels * side**2 * (1 + 9)
        return Cost(macs, 0.0, kept)

    def largest_block_of_ends(self, tokens: int) -> float:
        return 12.0 * self._finest(tokens)

    def _finest(self, tokens: int) -> int:
        """Numbers in the features of the finest resolution."""
        found: int = tokens * 4 ** len(self.params.level_channels) * self.params.level_channels[0]
        return found


def _norm(channels: int) -> nn.GroupNorm:
    groups = max(1, channels // _GROUP_CHANNELS)
    return nn.GroupNorm(groups if channels % groups == 0 else 1, channels)
