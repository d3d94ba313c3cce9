"""What a training step works on, and what a network answers to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from pixelflow.core import seeds
from pixelflow.core.schedule import Stage


@dataclass(frozen=True)
class StageGroup:
    """The images of one size in a batch that are trained on one stage."""

    stage: Stage
    members: Tensor
    """(n) their places in the batch"""
    tau: Tensor
    """(n)"""
    states: Tensor
    """(n c h_s w_s) x_tau"""
    targets: Tensor
    """(n c h_s w_s) the velocity"""
    clean: Tensor
    """(n c h_s w_s) the clean images at the stage's resolution"""

    def at(self, chosen: Tensor) -> StageGroup:
        """Some of the images, by a mask (n)."""
        own = (self.members, self.tau, self.states, self.targets, self.clean)
        return StageGroup(self.stage, *(part[chosen] for part in own))


@dataclass(frozen=True)
class Origin:
    """Which step's batch of `count` images a work is of, and which of these."""

    count: int
    seed: int = 0
    step: int = 0
    own: Tensor | None = None
    """The places (b) of this process's images in the whole batch; None where it has all of them."""

    def places(self, members: Tensor) -> Tensor:
        """Places (n) in the whole batch of images (n) that have these places in the share."""
        return members if self.own is None else self.own.to(members.device, non_blocking=True)[members]


@dataclass(frozen=True)
class Work:
    """A batch, or a part of one, ready for the network: groups finest first, and prepared conditions."""

    groups: Sequence[StageGroup]
    conditions: Sequence[Tensor]
    """One (b ...) a conditioner, for the whole batch."""
    teacher_conditions: Sequence[Tensor] = ()
    """Likewise, for the conditioners of the second network where there is one."""
    origin: Origin | None = None
    """Where its random numbers come from; held-out images have none, their losses are always measured alike."""

    def parts(self, count: int) -> list[Work]:
        """`count` parts with an even share of every stage each: every `count`-th image, over all groups."""
        befores = [0, *accumulate(len(group.members) for group in self.groups)]
        parts = []
        for first in range(count):
            kept = []
            for group, before in zip(self.groups, befores, strict=False):
                own = slice((first - before) % count, None, count)
                if len(group.members[own]):
                    images = (group.members, group.tau, group.states, group.targets, group.clean)
                    kept.append(StageGroup(group.stage, *(part[own] for part in images)))
            parts.append(replace(self, groups=kept))
        return [part for part in parts if part.groups]

    def of(self, groups: Sequence[StageGroup]) -> Work:
        """The images of these groups alone."""
        return replace(self, groups=groups)

    def moved(self, states: Sequence[Tensor], tau: Sequence[Tensor]) -> Work:
        """The same images at other states (n c h_s w_s) and times (n), one of each a group."""
        groups = [replace(group, states=x, tau=t) for group, x, t in zip(self.groups, states, tau, strict=True)]
        return self.of(groups)

    def drawn(
        self, purpose: str, draw: Callable[[int, torch.Generator], Tensor], device: torch.device | str = "cpu"
    ) -> list[Tensor]:
        """Random numbers of the images, for objectives that draw more than times and noise: one (n ...) a group.

        An image's are the same in whichever process and part of the step it is, and however a run came to the step.

        Args:
            draw: ``draw(b, generator)`` gives (b ...), for the whole batch.
        """
        origin = self.origin
        assert origin is not None
        generator = seeds.generator(origin.seed, f"objective {purpose}", origin.step, device=device)
        whole = draw(origin.count, generator)
        return [whole[origin.places(group.members.to(whole.device))] for group in self.groups]


@dataclass(frozen=True)
class Answer:
    """What a network gave for a work."""

    work: Work
    velocities: list[Tensor]
    """One (n c h_s w_s) a group, float32."""
    features: dict[int, list[Tensor]]
    """Tap -> one (n d rows cols) a group."""
    clean_estimate: Callable[[Tensor, Tensor, Tensor, Stage], Tensor]
    """States (n c h_s w_s), velocities and times (n 1 1 1) of a stage -> clean images; see `Cascade.clean_estimate`."""

    @cached_property
    def clean(self) -> list[Tensor]:
        """The clean images that states and velocities imply: one (n c h_s w_s) a group."""
        with torch.autocast(self.velocities[0].device.type, enabled=False):
            return [
                self.clean_estimate(group.states, velocity, group.tau.view(-1, 1, 1, 1), group.stage)
                for group, velocity in zip(self.work.groups, self.velocities, strict=True)
            ]
