"""What a batch is trained on: states and targets of every stage, and the objective with the networks that it asks.

PixelFlow (arXiv 2504.07963) section 3.2: a batch is spread over all stages; x_tau and v as in Eqs 2 to 5.
Every random choice comes from (seed, purpose, step), so a step is the same however the run came to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pixelflow.core import seeds
from pixelflow.core.interfaces import Objective, StageGroup, Work
from pixelflow.core.learner import FrozenLearner, Learner
from pixelflow.core.model import FlowModel
from pixelflow.core.schedule import Stage
from pixelflow.core.spec import ExperimentSpec
from pixelflow.generation.run import Run
from pixelflow.system.errors import DataError, UsageError
from pixelflow.training.loader import Alike, Batch


def build_objective(spec: ExperimentSpec, model: FlowModel, average: FlowModel) -> Objective:
    """The objective of a spec over the model that is trained, with the second network that it asks.

    What weights it has beside the model's are drawn from the spec's seed.

    Args:
        average: the model of the averaged weights.

    Raises:
        UsageError: the second network has another cascade; or what the objective asks of a network it cannot give.
        MissingInputError, DataError: the second network's run is not there, or damaged.
    """
    asked = spec.objective.second_network
    teacher = average if asked == "ema" else None
    if asked is not None and asked != "ema":
        teacher = Run.open(asked.run, step=asked.step, weights=asked.weights, device=str(model.device)).model
        if teacher.cascade.stages != model.cascade.stages:
            raise UsageError(f"objective: the teacher {asked.run} has another cascade; it needs the same stages")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(spec.seed, "objective"))
        objective: Objective = spec.objective.build(
            network=Learner(model), teacher=None if teacher is None else FrozenLearner(teacher), device=model.device
        )
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


class WorkMaker:
    """Batches to states, targets and prepared conditions; `rank` tells processes that train together apart."""

    def __init__(self, model: FlowModel, spec: ExperimentSpec, rank: int = 0, teacher: FlowModel | None = None) -> None:
        self._model, self._teacher = model, teacher
        self._seed = spec.seed
        self._rank = rank
        self._times = spec.objective.times.build()
        self._dropout = spec.objective.condition_dropout
        self._shares = spec.objective.stage_mix or (1.0,) * spec.stages

    def __call__(self, batch: Batch, step: int) -> Work:
        """States, targets and conditions of the batch of `step`.

        Raises:
            DataError: a conditioner reads what the data do not have.
        """
        count = len(batch)
        stages = stages_of(count, self._shares, self._generator("stages", step))
        tau = self._times.sample(count, self._generator("times", step))
        dropped = torch.rand(count, generator=self._generator("dropout", step)) < self._dropout
        images = [Alike(own.members, own.images.to(self._model.device, non_blocking=True)) for own in batch.groups]
        groups = [
            group
            for stage in reversed(self._model.cascade.stages)
            for group in self._groups(images, stage, stages == stage.index, tau, step)
        ]
        conditions = self._prepared(self._model, batch, dropped)
        taught = [] if self._teacher is None else self._prepared(self._teacher, batch, dropped)
        return Work(groups, conditions, taught, (self._seed, self._rank, step))

    def _prepared(self, model: FlowModel, batch: Batch, dropped: Tensor) -> list[Tensor]:
        """What a model's conditioners make of the batch's labels and captions: one (b ...) each."""
        for conditioner in model.conditioners:
            if conditioner.reads not in batch.values:
                raise DataError(
                    f"{conditioner.type_name()} reads {conditioner.reads}s, which the data set does not have"
                )
        return model.prepare(batch.values, dropped)

    def _groups(
        self, images: Sequence[Alike], stage: Stage, chosen: Tensor, tau: Tensor, step: int
    ) -> Iterator[StageGroup]:
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
                yield StageGroup(stage, members.to(device), own_tau, states, targets, clean)

    def _generator(self, purpose: str, *indices: int, device: torch.device | str = "cpu") -> torch.Generator:
        return seeds.generator(self._seed, purpose, self._rank, *indices, device=device)


def stages_of(count: int, shares: Sequence[float], generator: torch.Generator) -> Tensor:
    """The stage of each of `count` images: as even as the shares allow, then shuffled. Returns (count).

    Systematic resampling: a stage's number is its share of the batch rounded down or up, and right on average.
    """
    ends = torch.tensor(shares, dtype=torch.float64).cumsum(0)
    offset = torch.rand((), dtype=torch.float64, generator=generator)
    points = (torch.arange(count, dtype=torch.float64) + offset) / count * ends[-1]
    stages = torch.searchsorted(ends, points, right=True).clamp_max(len(shares) - 1)
    return stages[torch.randperm(count, generator=generator)]
