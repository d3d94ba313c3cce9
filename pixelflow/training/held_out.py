"""The velocity's squared error on images that are not trained on, always at the same times and with the same noise.

So its course tells of the weights alone: it is not blurred by what a batch happens to hold. Nothing of the training is
touched; a run without held-out images is bit for bit what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from pixelflow.core import seeds
from pixelflow.core.assembly import build_dataset
from pixelflow.core.classes import match
from pixelflow.core.fields import columns
from pixelflow.core.interfaces import BadSample, Dataset, Sample, StageGroup, Work
from pixelflow.core.learner import Learner
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.core.training_settings import HeldOutSpec
from pixelflow.data.bad_samples import Tally
from pixelflow.data.renumbered import Renumbered
from pixelflow.data.subset import Subset
from pixelflow.generation.draw import evaluating
from pixelflow.runs.history import History
from pixelflow.runs.metrics_line import MetricsLine
from pixelflow.system.errors import DataError
from pixelflow.system.parallel import Parallel
from pixelflow.training.loader import grouped


def trained_on(dataset: Dataset, spec: ExperimentSpec) -> Dataset:
    """The data without the share that is held out."""
    held_out = spec.training.held_out
    if held_out is None or held_out.fraction is None:
        return dataset
    return Subset(dataset, sorted(_order(dataset, spec)[_count(dataset, held_out.fraction) :]))


class HeldOutLoss:
    """Measures every `training.held_out.every` steps, and after the last one; the run's metrics say what is done.

    Raises:
        DataError, MissingInputError: the data cannot be read, or have classes that the training data lack.
    """

    def __init__(self, spec: ExperimentSpec, dataset: Dataset, metrics_file: Path, step: int) -> None:
        self._spec, self._settings = spec, spec.training.held_out
        self._done = _measured(metrics_file, step) if self._settings is not None else set()
        self._images = self._chosen(dataset, self._settings) if self._settings is not None else None
        self._tally = Tally(spec.training.bad_images, "training.bad_images")
        self._times = spec.objective.times.build()

    def _chosen(self, dataset: Dataset, settings: HeldOutSpec) -> Dataset:
        spec = self._spec
        if settings.fraction is not None:
            return Subset(dataset, _order(dataset, spec)[: _count(dataset, settings.fraction)][: settings.images])
        other = build_dataset(spec.model_copy(update={"data": spec.held_out_data()}))
        found = match(other.classes, dataset.classes, of="the held-out data", there="the training data")
        if found.missing:
            raise DataError(f"{found.note}; take their images out of training.held_out.data")
        named = other if found.is_same or not dataset.classes else Renumbered(other, found)
        return Subset(named, _order(named, spec)[: settings.images])

    def is_at(self, step: int) -> bool:
        """Whether `step` is one after which the loss is measured."""
        if self._settings is None or step == 0:
            return False
        return step % self._settings.every == 0 or step == self._spec.training.steps

    def is_due(self, step: int) -> bool:
        """Whether `step` is one, and not done."""
        return self.is_at(step) and step not in self._done

    def measure(
        self, model: Callable[[], FlowModel], averaged: Callable[[], FlowModel], step: int, parallel: Parallel
    ) -> MetricsLine | None:
        """The line of metrics of `step`, by the weights as they are and by the averaged ones, one after the other.

        Every process measures its share; the line is the first one's, the others have None.

        Raises:
            DataError: too many images cannot be read, or all.
        """
        sums, counts = self._losses(model(), parallel)
        averaged_sums, _ = self._losses(averaged(), parallel)
        images = sum(counts)
        self._done.add(step)
        if not parallel.is_first:
            return None
        if not images:
            raise DataError("none of the held-out images can be read; the log names each")
        return {
            "step": step,
            "held_out": {
                "images": images,
                "loss": sum(sums) / images,
                "loss_by_stage": [own / count if count else None for own, count in zip(sums, counts, strict=True)],
                "averaged_loss": sum(averaged_sums) / images,
            },
        }

    def _losses(self, model: FlowModel, parallel: Parallel) -> tuple[list[float], list[int]]:
        """Sum of the images' losses, and their number, by stage; in the first process."""
        assert self._images is not None
        size = max(1, self._spec.training.batch_size // self._spec.training.grad_accumulation)
        count = len(self._images)
        parts = [range(first, min(first + size, count)) for first in range(0, count, size)]
        sums, counts = [0.0] * self._spec.stages, [0] * self._spec.stages
        with evaluating(model):
            for bad, losses in parallel.spread(parts, lambda part: self._of_part(model, part)):
                self._tally.add(bad)
                for stage, total, images in losses:
                    sums[stage] += total
                    counts[stage] += images
        return sums, counts

    def _of_part(self, model: FlowModel, part: range) -> tuple[list[BadSample], list[tuple[int, float, int]]]:
        """The unreadable ones of some images; and stage, sum of the losses and number of each group of the others."""
        read = [(place, self._sample(place)) for place in part]
        bad = [sample for _, sample in read if isinstance(sample, BadSample)]
        good = [(place, sample) for place, sample in read if isinstance(sample, Sample)]
        if not good:
            return bad, []
        work = self._work(model, [place for place, _ in good], [sample for _, sample in good])
        is_half = self._spec.training.precision == "bfloat16"
        with torch.autocast(model.device.type, torch.bfloat16, enabled=is_half):
            velocities = Learner(model)(work).velocities
        losses = []
        for group, velocity in zip(work.groups, velocities, strict=True):
            loss = (velocity - group.targets).square().mean(dim=(1, 2, 3))
            losses.append((group.stage.index, float(loss.double().sum()), len(loss)))
        return bad, losses

    def _sample(self, place: int) -> Sample | BadSample:
        assert self._images is not None
        return self._images.sample(place, self._generator("image", place))

    def _work(self, model: FlowModel, places: Sequence[int], samples: Sequence[Sample]) -> Work:
        """The images, each at a stage, a time and with noise of its own."""
        values = columns(samples)
        groups = [
            self._group(model, index, own.members, own.images(model.device), places)
            for index in reversed(range(self._spec.stages))
            for own in grouped([sample.image for sample in samples])
        ]
        return Work([group for group in groups if len(group.members)], model.prepare(values))

    def _group(
        self, model: FlowModel, index: int, members: Tensor, images: Tensor, places: Sequence[int]
    ) -> StageGroup:
        """The images (b c h w) of one size whose turn is stage `index`; the stages take turns."""
        stage, device = model.cascade.stages[index], model.device
        rows = [row for row, member in enumerate(members.tolist()) if places[member] % self._spec.stages == index]
        chosen = members[rows]
        clean = model.cascade.at_stage(images[rows], stage)
        own = [places[member] for member in chosen.tolist()]
        tau = torch.cat([self._times.sample(1, self._generator("time", place)) for place in own] or [torch.empty(0)])
        noise = [torch.randn(clean.shape[1:], generator=self._generator("noise", place)) for place in own]
        states, targets = model.cascade.states(
            clean, torch.stack(noise).to(device) if noise else torch.empty_like(clean), tau.to(device), stage
        )
        return StageGroup(stage, chosen.to(device), tau.to(device), states, targets, clean)

    def _generator(self, purpose: str, place: int) -> torch.Generator:
        return seeds.generator(self._spec.seed, f"held out {purpose}", place)


def _order(dataset: Dataset, spec: ExperimentSpec) -> list[int]:
    """All indices at random: those to hold out come first."""
    order: list[int] = torch.randperm(len(dataset), generator=seeds.generator(spec.seed, "held out")).tolist()
    return order


def _count(dataset: Dataset, fraction: float) -> int:
    """Images that are held out; raises DataError where none or all would be."""
    count = round(fraction * len(dataset))
    if not 0 < count < len(dataset):
        raise DataError(f"training.held_out: {fraction:g} of {len(dataset)} images are {count}; hold out another share")
    return count


def _measured(metrics_file: Path, step: int) -> set[int]:
    """The steps up to `step` whose loss is in the metrics."""
    return {line["step"] for line in History(metrics_file).lines() if "held_out" in line and line["step"] <= step}
