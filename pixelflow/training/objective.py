"""What a batch is trained on: states and targets of every stage, and the objective with the networks that it asks.

PixelFlow (arXiv 2504.07963) section 3.2: a batch is spread over all stages; x_tau and v as in Eqs 2 to 5.
Every random choice comes from (seed, purpose, step), so a step is the same however the run came to it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from pixelflow.core import seeds
from pixelflow.core.classes import Match, match, shown
from pixelflow.core.fields import LABEL, labels_in
from pixelflow.core.interfaces import Objective, StageGroup, Work
from pixelflow.core.learner import FrozenLearner, Learner
from pixelflow.core.model import FlowModel
from pixelflow.core.schedule import Stage
from pixelflow.core.sizes import Size
from pixelflow.core.spec import ExperimentSpec
from pixelflow.core.work import Origin
from pixelflow.generation.run import Run
from pixelflow.system.errors import DataError, UsageError
from pixelflow.system.parallel import Parallel
from pixelflow.training.loader import Batch

logger = logging.getLogger(__name__)


def build_objective(
    spec: ExperimentSpec, model: FlowModel, average: FlowModel, device: torch.device | None = None
) -> Objective:
    """The objective of a spec over the model that is trained, with the second network that it asks.

    What weights it has beside the model's are drawn from the spec's seed.

    Args:
        average: the model of the averaged weights.
        device: where it works; by default where the model lies, which may have no numbers yet.

    Raises:
        UsageError: the second network has another cascade; or what the objective asks of a network it cannot give.
        MissingInputError, DataError: the second network's run is not there, or damaged.
    """
    asked, device = spec.objective.second_network, device or model.device
    second = FrozenLearner(average) if asked == "ema" else None
    if asked is not None and asked != "ema":
        run = Run.open(asked.run, step=asked.step, weights=asked.weights, device=str(device))
        second = FrozenLearner(run.model, run.known if LABEL.name in run.reads else None)
        if run.model.cascade.stages != model.cascade.stages:
            raise UsageError(f"objective: the teacher {asked.run} has another cascade; it needs the same stages")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(spec.seed, "objective"))
        objective: Objective = spec.objective.build(network=Learner(model), second=second, device=device)
    return objective.train()


def own_weights(objective: Objective) -> dict[str, nn.Parameter]:
    """The trained parameters that an objective has beside its network's, by name."""
    named = objective.named_parameters(prefix="objective")
    networks = ("objective.network.", "objective.teacher.")
    return {name: weight for name, weight in named if weight.requires_grad and not name.startswith(networks)}


def teacher_of(objective: Objective) -> FlowModel | None:
    """The model of the second network that an objective asks."""
    teacher: object = objective.teacher
    return teacher.model if isinstance(teacher, FrozenLearner) else None


def taught_labels(objective: Objective, classes: Sequence[str]) -> Match | None:
    """The training data's classes among those of the second network; None where every label is the same to both.

    Raises:
        DataError: it lacks a class, or knows others.
    """
    teacher: object = objective.teacher
    if not isinstance(teacher, FrozenLearner) or teacher.known is None or not classes:
        return None
    known = teacher.known
    found = match(classes, known.names, of="the training data", there="the teacher")
    if found.missing:
        raise DataError(f"the teacher does not know these classes of the training data: {shown(found.missing)}")
    if not found.places and len(classes) != known.count:
        raise DataError(f"the teacher knows {known.count} classes without names, and the training data {len(classes)}")
    if not found.places:
        if found.note:
            logger.warning("%s", found.note)
        return None
    return None if found.is_same else found


class WorkMaker:
    """Batches to states, targets and prepared conditions.

    Stages, times, noise and dropped conditions are drawn for the whole batch, of which each of several processes that
    train together takes its images': so the training is the same with any number of them.

    Args:
        teacher: the model of the second network.
        taught: the data's labels among the teacher's; see `taught_labels`.
    """

    def __init__(
        self,
        model: FlowModel,
        spec: ExperimentSpec,
        parallel: Parallel | None = None,
        teacher: FlowModel | None = None,
        taught: Match | None = None,
    ) -> None:
        self._model, self._teacher, self._taught = model, teacher, taught
        self._seed, self._device, cascade = spec.seed, model.device, model.cascade
        self._shapes = {
            (stage, size): (spec.image.channels, *cascade.size(stage, *size))
            for stage in cascade.stages
            for size in spec.sizes
        }
        """Of an image, by stage and full size."""
        self._parallel = parallel or Parallel(self._device)
        self.deal = Deal(spec, self._parallel)
        self._times = spec.objective.times.build()
        self._dropout = spec.objective.condition_dropout
        self._is_mixed = spec.image.max_aspect is not None

    def __call__(self, batch: Batch, step: int) -> Work:
        """States, targets and conditions of this process's share of the batch of `step`.

        Raises:
            DataError: a conditioner reads what the data do not have.
        """
        count = sum(len(group.members) for group in batch.groups) * self._parallel.size
        stages, own = self.deal(step, count)
        tau = self._times.sample(count, seeds.generator(self._seed, "times", 0, step))
        dropped = torch.rand(count, generator=seeds.generator(self._seed, "dropout", 0, step)) < self._dropout
        images = {tuple(group.pixels.shape[2:]): (group.members, group.images(self._device)) for group in batch.groups}
        if self._is_mixed:
            sizes = self._mixed(batch, own)
        else:
            height, width = batch.groups[0].pixels.shape[2:]
            sizes = {(height, width): torch.arange(count)}
        groups = [
            group
            for stage in reversed(self._model.cascade.stages)
            for group in self._groups(images, sizes, stage, stages == stage.index, tau, step, own)
        ]
        conditions = self._model.prepare(batch.values, dropped[own])
        taught = [] if self._teacher is None else self._teacher.prepare(self._to_teach(batch), dropped[own])
        return Work(groups, conditions, taught, Origin(count, self._seed, step, own))

    def _mixed(self, batch: Batch, own: Tensor) -> dict[Size, Tensor]:
        """The sizes in the whole batch, small ones first, and the places (n) of their images, ascending."""
        of_all = dict[Size, list[int]]()
        here = [(tuple(group.pixels.shape[2:]), own[group.members].tolist()) for group in batch.groups]
        for (height, width), places in chain.from_iterable(self._parallel.gather(here)):
            of_all.setdefault((height, width), []).extend(places)
        ordered = sorted(of_all, key=lambda size: (math.prod(size), size))
        return {size: torch.tensor(sorted(of_all[size])) for size in ordered}

    def _to_teach(self, batch: Batch) -> Mapping[str, Sequence[object]]:
        """The batch's fields with the labels that the teacher knows their classes by."""
        labels = labels_in(batch.values)
        if self._taught is None or labels is None:
            return batch.values
        return {**batch.values, LABEL.name: [self._taught(label) for label in labels]}

    def _groups(
        self,
        images: Mapping[tuple[int, ...], tuple[Tensor, Tensor]],
        sizes: Mapping[Size, Tensor],
        stage: Stage,
        chosen: Tensor,
        tau: Tensor,
        step: int,
        mine: Tensor,
    ) -> Iterator[StageGroup]:
        """The chosen images of each size, of a mask (b) over the whole batch; `mine` are this process's places there.

        `images` are this process's by size, with their places in its share.

        Noise comes from one stream a stage, whatever the sizes, and for the images of all processes.
        """
        device = self._device
        generator = seeds.generator(self._seed, "noise", 0, step, stage.index, device=device)
        for size, places in sizes.items():
            places = places[chosen[places]]
            shape = (len(places), *self._shapes[stage, size])
            noise = torch.randn(shape, generator=generator, device=device) if len(places) else torch.empty(shape)
            is_own = torch.isin(places, mine).nonzero().flatten()
            if len(is_own):
                (of_size, pixels), members = images[size], torch.searchsorted(mine, places[is_own])
                rows = torch.searchsorted(of_size, members)
                own_tau, rows, is_own, members = (
                    part.to(device, non_blocking=True) for part in (tau[places[is_own]], rows, is_own, members)
                )
                clean = self._model.cascade.at_stage(pixels[rows], stage)
                states, targets = self._model.cascade.states(clean, noise[is_own], own_tau, stage)
                yield StageGroup(stage, members, own_tau, states, targets, clean)


class Deal:
    """Which stage each image of a step's batch is trained on, and in which process."""

    def __init__(self, spec: ExperimentSpec, parallel: Parallel) -> None:
        shares = spec.objective.stage_mix or (1.0,) * spec.stages
        self._ends = torch.tensor(shares, dtype=torch.float64).cumsum(0)
        self._seed, self._parallel = spec.seed, parallel

    def __call__(self, step: int, count: int) -> tuple[Tensor, Tensor]:
        """The stages (b) of a whole batch of `count` images, and the places (b/size), ascending, of this process's.

        Systematic resampling, then shuffled: a stage's number is its share of the batch rounded down or up, and right
        on average. Dealt out stage by stage, so that every process has as much to compute: the finest is most of it.
        """
        generator, ends = seeds.generator(self._seed, "stages", 0, step), self._ends
        offset = torch.rand((), dtype=torch.float64, generator=generator)
        points = (torch.arange(count, dtype=torch.float64) + offset) / count * ends[-1]
        stages = torch.searchsorted(ends, points, right=True).clamp_max(len(ends) - 1)
        stages = stages[torch.randperm(count, generator=generator)]
        return stages, stages.argsort(stable=True)[self._parallel.rank :: self._parallel.size].sort().values
