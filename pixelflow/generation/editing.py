"""Images made from images: enlarged, varied, turned into others, filled in where a mask says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from pixelflow.core import seeds
from pixelflow.core.cascade import Cascade
from pixelflow.core.component import Settings
from pixelflow.core.entering import Entry
from pixelflow.core.sampling import OnStep
from pixelflow.core.schedule import Stage
from pixelflow.core.sizes import Size
from pixelflow.system import arrays
from pixelflow.system.errors import UsageError


@dataclass(frozen=True)
class Edit:
    """What images are made from, as people give it."""

    images: Tensor | Sequence[Tensor]
    """One (c h w) or several, which take turns, in [-1, 1]; of the size of a stage."""
    stage: int | None = None
    """Where they enter the cascade, from 0, the coarsest. By default small images enter the stage after their own,
    others the last one, or with a mask the first."""
    strength: float = 1.0
    """Share of the stage that is drawn anew, above 0; with 1 only what the stage before tells is kept."""
    masks: Tensor | Sequence[Tensor] | None = None
    """(h w) of the finished size, one or several: 1 where images are drawn anew, 0 where they stay."""


class Editing(Settings):
    """The same as an order keeps it."""

    images: tuple[object, ...] = Field(min_length=1)
    """Each as `pixelflow.system.arrays.to_json` writes it; they take turns."""
    masks: tuple[object, ...] | None = None
    stage: int = Field(ge=0)
    strength: float = Field(gt=0, le=1)

    def edits(self, owners: Sequence[int], places: Sequence[int] | None = None) -> Edits:
        """For images of these seeds, at these places of the order (by default the first); raises DataError."""
        images = [arrays.from_json(one) for one in self.images]
        masks = [arrays.from_json(one) for one in self.masks or ()]
        return Edits(images, masks, self.stage, 1 - self.strength, owners, places or range(len(owners)))


def editing(edit: Edit, size: Size, channels: int, cascade: Cascade) -> Editing:
    """Checked, for finished images of a size; raises UsageError for what does not fit."""
    images = _each(edit.images, 3, "an image (c h w)")
    masks = [] if edit.masks is None else _each(edit.masks, 2, "a mask (h w)")
    if not 0 < edit.strength <= 1:
        raise UsageError(f"the strength must lie above 0 and be at most 1, not {edit.strength:g}")
    shapes = {tuple(one.shape) for one in images}
    if len(shapes) != 1 or next(iter(shapes))[0] != channels:
        raise UsageError(f"the images to edit must have {channels} channels and one size, not {sorted(shapes)}")
    own = (images[0].shape[-2], images[0].shape[-1])
    sizes = [cascade.size(stage, *size) for stage in cascade.stages]
    if own not in sizes:
        known = ", ".join(f"{width}x{height}" for height, width in sizes)
        raise UsageError(f"an image of {own[1]}x{own[0]} pixels has the size of no stage ({known}); resize it")
    of_image, last = sizes.index(own), len(sizes) - 1
    if masks and (of_image != last or any(tuple(mask.shape) != size for mask in masks)):
        raise UsageError(f"a mask and its image must have the finished size, {size[1]}x{size[0]}")
    stage = edit.stage
    if stage is None:
        stage = 0 if masks else min(of_image + 1, last)
    if not 0 <= stage <= min(of_image + 1, last):
        raise UsageError(f"an image of {own[1]}x{own[0]} enters stages 0 to {min(of_image + 1, last)}, not {stage}")
    if stage > of_image and edit.strength < 1:
        raise UsageError(
            f"an image of the stage before is enlarged by stage {stage} as a whole; leave the strength out"
        )
    kept, held = (tuple(map(arrays.to_json, each)) for each in (images, masks))
    return Editing(images=kept, masks=held or None, stage=stage, strength=edit.strength)


def _each(given: Tensor | Sequence[Tensor], axes: int, what: str) -> list[Tensor]:
    one = isinstance(given, Tensor) and given.ndim == axes
    found = [torch.as_tensor(each).detach().cpu().float() for each in ([given] if one else given)]
    if not found or any(each.ndim != axes or not each.isfinite().all() for each in found):
        raise UsageError(f"what is edited must be {what}, or several, of finite numbers")
    return found


@dataclass(frozen=True)
class Edits:
    """What each of some images is made from."""

    images: Sequence[Tensor]
    masks: Sequence[Tensor]
    stage: int
    tau: float
    seeds: Sequence[int]
    places: Sequence[int]
    """Of the images in their order, by which images and masks take turns."""

    def entry(self, cascade: Cascade, rows: slice, height: int) -> Entry:
        """Where some of the images enter, on the way to this height."""
        images = torch.stack([self.images[place % len(self.images)] for place in self.places[rows]])
        halvings = (height // images.shape[-2]).bit_length() - 1
        return Entry(self.stage, self.tau, images * cascade.down.brightness**halvings)

    def watched(self, cascade: Cascade, rows: slice, on_step: OnStep | None) -> OnStep | None:
        """`on_step`, after which what the masks keep is put where the cascade has it at that time."""
        if not self.masks:
            return on_step
        known = torch.stack([self.images[place % len(self.images)] for place in self.places[rows]])
        masks = torch.stack([self.masks[place % len(self.masks)] for place in self.places[rows]])[:, None]
        owners = self.seeds[rows]

        def step(stage: Stage, tau: float, state: Tensor, velocity: Tensor) -> Tensor:
            changed = None if on_step is None else on_step(stage, tau, state, velocity)
            state = state if changed is None else changed
            there = _there(cascade, known.to(state), stage, tau, owners)
            new = F.adaptive_avg_pool2d(masks.to(state), (state.shape[-2], state.shape[-1]))
            return torch.where(new == 1, state, torch.where(new == 0, there, new * state + (1 - new) * there))

        return step


def _there(cascade: Cascade, images: Tensor, stage: Stage, tau: float, owners: Sequence[int]) -> Tensor:
    """Images (b c h w) at a stage and a time; their noise is the same along a whole stage."""
    clean = cascade.at_stage(images, stage)
    generators = [seeds.generator(owner, "inpainting", stage.index) for owner in owners]
    noise = torch.stack([torch.randn(clean.shape[1:], generator=one) for one in generators]).to(clean)
    return cascade.states(clean, noise, torch.full((len(clean),), tau).to(clean), stage)[0]
