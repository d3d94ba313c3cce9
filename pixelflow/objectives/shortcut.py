"""Jumps within each stage, long ones learnt from short ones (shortcut models, arXiv 2410.12557)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pixelflow.core.interfaces import Objective, Work
from pixelflow.core.teacher import AnyTeacher, Teacher


class Shortcut(Objective):
    """Mean velocities over a stage, its halves, quarters and so on, each that of two steps of half its length.

    With ``u(x, t, t')`` the network's mean velocity, a step of length d has the target (Eq 4 of the paper)
    ``(u(x, t, t + d/2) + u(x + d/2 u, t + d/2, t + d)) / 2``, of the average of the weights. The shortest steps follow
    the teacher's velocity by the midpoint method instead. With a run as the teacher this is progressive distillation
    (arXiv 2202.00512) of all lengths at once, and the halves are the network's own, as the teacher knows no jumps.

    The times of an image's work are moved down to a multiple of its step's length. The sampler is `jump`.
    """

    class Params(Objective.Params):
        type: Literal["shortcut"] = "shortcut"
        teacher: AnyTeacher = Field(default="ema")
        """A run, or ``ema`` for the average of the weights that are trained."""
        guidance: float = Field(default=1.0, ge=0)
        """Weight of the teacher's classifier-free guidance, which jumps then have in them."""
        halvings: int = Field(default=3, ge=0, le=10)
        """How often a stage is halved until the shortest step, whose target is the teacher's."""
        velocity_share: float = Field(default=0.5, ge=0, lt=1)
        """Share of the images that are trained on the data's velocity, as by `flow_matching`; of a teacher that is
        another run 0 will do."""

        @property
        def trains_jumps(self) -> bool:
            return True

        @property
        def second_network(self) -> Teacher | Literal["ema"] | None:
            return self.teacher

    params: Params

    def forward(self, work: Work) -> list[Tensor]:
        lengths = self._lengths(work)
        starts = [
            torch.where(length > 0, (group.tau / length).floor() * length, group.tau)
            for group, length in zip(work.groups, lengths, strict=True)
        ]
        there = _moved(work, [start - group.tau for start, group in zip(starts, work.groups, strict=True)],
                       [group.targets for group in work.groups])  # fmt: skip
        wanted = self._wanted(there, lengths)
        until = [start + length for start, length in zip(starts, lengths, strict=True)]
        found = self.network(there, until=until).velocities
        return [(one - other).square().mean((1, 2, 3)) for one, other in zip(found, wanted, strict=True)]

    def _lengths(self, work: Work) -> list[Tensor]:
        """The length of each image's step, one (n) a group; 0 for the velocity itself."""
        flow, count = self.params.velocity_share, self.params.halvings + 1

        def draw(images: int, generator: torch.Generator) -> Tensor:
            levels = ((torch.rand(images, generator=generator) - flow) / (1 - flow) * count).floor()
            return torch.where(levels < 0, 0.0, 0.5 ** levels.clamp(0, count - 1))

        drawn = work.drawn("lengths", draw)
        return [length.to(group.tau.device) for length, group in zip(drawn, work.groups, strict=True)]

    @torch.no_grad()
    def _wanted(self, work: Work, lengths: list[Tensor]) -> list[Tensor]:
        """The targets, one (n c h_s w_s) a group."""
        targets = [group.targets.clone() for group in work.groups]
        shortest = 0.5**self.params.halvings
        for is_shortest in (True, False):
            chosen = [length == shortest if is_shortest else length > shortest for length in lengths]
            places = [index for index, mask in enumerate(chosen) if mask.any()]
            if not places:  # every process asks its networks as often as the others, which may hold shares of them
                places, chosen = [0], [torch.arange(len(length)) < 1 for length in lengths]
            part = work.of([work.groups[index].at(chosen[index]) for index in places])
            steps = [lengths[index][chosen[index]] for index in places]
            means = self._by_teacher(part, steps) if is_shortest else self._by_halves(part, steps)
            for index, mean, step in zip(places, means, steps, strict=True):
                is_meant = (step == shortest if is_shortest else step > shortest).view(-1, 1, 1, 1)
                targets[index][chosen[index]] = torch.where(is_meant, mean, targets[index][chosen[index]])
        return targets

    def _by_teacher(self, work: Work, lengths: list[Tensor]) -> list[Tensor]:
        """Mean velocities over the steps, by the teacher and the midpoint method."""
        assert self.teacher is not None
        guidance = None if self.params.guidance == 1 else self.params.guidance
        halves = [length / 2 for length in lengths]
        first = self.teacher(work, guidance=guidance).velocities
        return self.teacher(_moved(work, halves, first), guidance=guidance).velocities

    def _by_halves(self, work: Work, lengths: list[Tensor]) -> list[Tensor]:
        """Mean velocities over the steps, by two of half the length."""
        asked = self.teacher if self.params.teacher == "ema" else self.network
        assert asked is not None
        halves = [length / 2 for length in lengths]
        first = asked(work, until=_later(work, halves)).velocities
        middle = _moved(work, halves, first)
        second = asked(middle, until=_later(middle, halves)).velocities
        return [(one + other) / 2 for one, other in zip(first, second, strict=True)]


def _later(work: Work, steps: list[Tensor]) -> list[Tensor]:
    return [group.tau + step for group, step in zip(work.groups, steps, strict=True)]


def _moved(work: Work, steps: list[Tensor], velocities: list[Tensor]) -> Work:
    """The images a step (n) of time further along velocities (n c h w), one of each a group."""
    states = [
        group.states + step.view(-1, 1, 1, 1) * velocity
        for group, step, velocity in zip(work.groups, steps, velocities, strict=True)
    ]
    return work.moved(states, _later(work, steps))
