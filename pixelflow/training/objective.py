"""What a batch is trained on: states and targets of every stage, packed, with the loss on the velocity.

PixelFlow (arXiv 2504.07963) section 3.2: a batch is spread over all stages; x_tau and v as in Eqs 2 to 5.
Every random choice comes from (seed, purpose, step), so a step is the same however the run came to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from pixelflow.core import seeds
from pixelflow.core.errors import DataError
from pixelflow.core.model import FlowModel
from pixelflow.core.schedule import Stage
from pixelflow.core.spec import ExperimentSpec
from pixelflow.training.loader import Alike, Batch


@dataclass(frozen=True)
class Group:
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

    def at(self, chosen: slice) -> Group:
        """Some of the images."""
        return Group(self.stage, self.members[chosen], self.tau[chosen], self.states[chosen], self.targets[chosen])


@dataclass(frozen=True)
class Work:
    """A batch, or a part of one, ready for the network: groups finest first, and prepared conditions."""

    groups: list[Group]
    conditions: list[Tensor]
    """One (b ...) a conditioner, for the whole batch."""

    def parts(self, count: int) -> list[Work]:
        """`count` parts with an even share of every stage each: every `count`-th image, over all groups."""
        befores = [0, *accumulate(len(group.members) for group in self.groups)]
        parts = []
        for first in range(count):
            own = [
                group.at(slice((first - before) % count, None, count))
                for group, before in zip(self.groups, befores, strict=False)
            ]
            parts.append(Work([group for group in own if len(group.members)], self.conditions))
        return [part for part in parts if part.groups]


class Objective:
    """Flow matching over the stages of a cascade; `rank` tells processes that train together apart."""

    def __init__(self, model: FlowModel, spec: ExperimentSpec, rank: int = 0) -> None:
        self._model = model
        self._seed = spec.seed
        self._rank = rank
        self._times = spec.objective.times.build()
        self._dropout = spec.objective.condition_dropout
        self._shares = spec.objective.stage_mix or (1.0,) * spec.stages

    def work(self, batch: Batch, step: int) -> Work:
        """States, targets and conditions of the batch of `step`.

        Raises:
            DataError: a conditioner reads what the data do not have.
        """
        count = len(batch)
        stages = stages_of(count, self._shares, self._generator("stages", step))
        tau = self._times.sample(count, self._generator("times", step))
        dropped = torch.rand(count, generator=self._generator("dropout", step)) < self._dropout
        for conditioner in self._model.conditioners:
            if conditioner.reads not in batch.values:
                raise DataError(
                    f"{conditioner.type_name()} reads {conditioner.reads}s, which the data set does not have"
                )
        images = [Alike(own.members, own.images.to(self._model.device, non_blocking=True)) for own in batch.groups]
        groups = [
            group
            for stage in reversed(self._model.cascade.stages)
            for group in self._groups(images, stage, stages == stage.index, tau, step)
        ]
        return Work(groups, self._model.prepare(batch.values, dropped))

    def _groups(self, images: Sequence[Alike], stage: Stage, chosen: Tensor, tau: Tensor, step: int) -> Iterator[Group]:
        """The chosen (b) images of each size; noise comes from one stream a stage, whatever the sizes."""
        device = self._model.device
        generator = self._generator("noise", step, stage.index, device=device)
        for own in images:
            rows = chosen[own.members].nonzero().flatten()
            if len(rows):
                members = own.members[rows]
                own_tau = tau[members].to(device)
                clean = self._model.cascade.at_stage(own.images[rows.to(device)], stage)
                noise = torch.randn(clean.shape, generator=generator, device=device)
                states, targets = self._model.cascade.states(clean, noise, own_tau, stage)
                yield Group(stage, members.to(device), own_tau, states, targets)

    def _generator(self, purpose: str, *indices: int, device: torch.device | str = "cpu") -> torch.Generator:
        return seeds.generator(self._seed, purpose, self._rank, *indices, device=device)

    def losses(self, work: Work) -> list[Tensor]:
        """The mean squared error of each image's velocity, in float32: one (n) a group."""
        order = torch.cat([group.members for group in work.groups])
        condition = self._model.condition([prepared[order] for prepared in work.conditions])
        velocities = self._model(
            [group.states for group in work.groups],
            [group.stage for group in work.groups],
            [group.tau for group in work.groups],
            condition,
        )
        return [
            (velocity.float() - group.targets).square().mean(dim=(1, 2, 3))
            for velocity, group in zip(velocities, work.groups, strict=True)
        ]


def stages_of(count: int, shares: Sequence[float], generator: torch.Generator) -> Tensor:
    """The stage of each of `count` images: as even as the shares allow, then shuffled. Returns (count).

    Systematic resampling: a stage's number is its share of the batch rounded down or up, and right on average.
    """
    ends = torch.tensor(shares, dtype=torch.float64).cumsum(0)
    offset = torch.rand((), dtype=torch.float64, generator=generator)
    points = (torch.arange(count, dtype=torch.float64) + offset) / count * ends[-1]
    stages = torch.searchsorted(ends, points, right=True).clamp_max(len(shares) - 1)
    return stages[torch.randperm(count, generator=generator)]
