"""The blocks ``image`` and ``cascade`` of a spec: sizes in pixels, stages, patches and what joins the resolutions."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pixelflow.core.component import Count, Settings
from pixelflow.core.interfaces import Downsampler, Upsampler
from pixelflow.core.problems import problem, shown
from pixelflow.core.slots import Slot

AnyDownsampler = Annotated[Downsampler.Params, Slot("downsampler")]
AnyUpsampler = Annotated[Upsampler.Params, Slot("upsampler")]


def _pair(value: object) -> object:
    """``64`` means ``[64, 64]``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value, value]
    if not isinstance(value, (list, tuple)):
        raise problem(f"needs a whole number or a list of two, not {shown(value)}")
    return value


SizeField = Annotated[tuple[Count, Count], BeforeValidator(_pair, json_schema_input_type=Count | tuple[Count, Count])]


class ImageSpec(Settings):
    """The finished images."""

    size: SizeField = Field(default=(64, 64))
    """Height and width in pixels; one number for a square."""
    max_aspect: float | None = Field(default=None, ge=1, le=16)
    """Largest ratio of the longer to the shorter side of images that keep their shape, at about the area of ``size``;
    null gives all of them ``size``."""
    channels: Literal[1, 3] = 3
    """3 for RGB, 1 for grey."""

    @property
    def height(self) -> int:
        return self.size[0]

    @property
    def width(self) -> int:
        return self.size[1]


_MOST_STAGES = 12


class CascadeSpec(Settings):
    """The stages, and how their resolutions are joined."""

    stages: int | None = Field(default=None, ge=1, le=_MOST_STAGES)
    """Number of stages; 1 is plain flow matching. Give this or ``kickoff``."""
    kickoff: Count | None = None
    """Tokens along the shorter side at the coarsest stage (the paper's Table 1)."""
    patch: Count | Annotated[tuple[Count, ...], Field(min_length=1)] = Field(default=4)
    """Side of a patch in pixels; a list gives one for each stage, coarse to fine."""
    down: AnyDownsampler = Field(default="bilinear")  # type: ignore[assignment]
    """Halves the resolution."""
    up: AnyUpsampler = Field(default="nearest")  # type: ignore[assignment]
    """Doubles the resolution."""

    @model_validator(mode="after")
    def _one_length(self) -> CascadeSpec:
        if (self.stages is None) == (self.kickoff is None):
            cure = "" if self.stages is None else "; set the other to null (kickoff: null, or cascade.kickoff=null)"
            raise problem(f"give exactly one of 'stages' and 'kickoff'{cure}")
        return self

    def count(self, image: ImageSpec) -> int:
        """Number of stages for images of the given size; a ValueError names sizes that do not fit."""
        if self.stages is not None:
            return self.stages
        assert self.kickoff is not None
        first = self.kickoff * (self.patch if isinstance(self.patch, int) else self.patch[0])
        doublings = math.log2(min(image.size) / first) if min(image.size) >= first else -1.0
        if doublings < 0 or doublings != int(doublings):
            side = min(image.size)
            raise problem(
                f"a kickoff of {self.kickoff} tokens starts at {first} pixels, which doubling never makes {side}; "
                f"use an image side of {first} times a power of two",
                "kickoff",
            )
        if doublings >= _MOST_STAGES:
            raise problem(f"makes {int(doublings) + 1} stages, at most {_MOST_STAGES} can be; raise it", "kickoff")
        return int(doublings) + 1

    def patches(self, image: ImageSpec) -> tuple[int, ...]:
        """Patch size of each stage, coarse to fine."""
        count = self.count(image)
        patches = (self.patch,) * count if isinstance(self.patch, int) else self.patch
        if len(patches) != count:
            raise problem(f"has {len(patches)} entries for {count} stages{self._why(len(patches), image)}", "patch")
        return patches

    def _why(self, entries: int, image: ImageSpec) -> str:
        """Where a kickoff makes the stages: how, and what to write for as many stages as there are patches."""
        if self.kickoff is None or isinstance(self.patch, int):
            return ""
        first = self.kickoff * self.patch[0]
        return (
            f": a kickoff of {self.kickoff} tokens of {self.patch[0]} pixels starts at {first} of {min(image.size)}; "
            f"give a patch for each stage, or for {entries} stages write  stages: {entries}  and  kickoff: null"
        )
