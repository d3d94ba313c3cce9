"""Weights of the sampler `fitted`, found on a run's own images (optimal linear subspace search, arXiv 2305.14677)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor

from pixelflow.core.assembly import build_plan
from pixelflow.core.interfaces import Field
from pixelflow.core.sampling import SeededNoise, generate
from pixelflow.core.schedule import Stage
from pixelflow.core.spec import SamplingSpec
from pixelflow.generation.draw import evaluating
from pixelflow.generation.prompts import Prompt, condition_for
from pixelflow.generation.ready import Flop, ready
from pixelflow.generation.run import Run
from pixelflow.samplers.fitted import Fitted, StepWeights, moved
from pixelflow.system.memory import memory_for

_DIGITS = 6
"""Of the weights that are kept."""
_RIDGE = 1e-6
"""Added to the diagonal over its mean: neighbouring velocities are nearly the same."""


class ReferencePath:
    """Where the first images of a drawing pass: their states after every step of each stage."""

    def __init__(self, images: int) -> None:
        """Images: as many of the first batch."""
        self._images = images
        self._states: dict[int, list[tuple[float, Tensor]]] = {}

    def keep(self, stage: Stage, tau: float, state: Tensor, velocity: Tensor) -> None:
        """Keep a state (b c h w) of the first batch; an `OnStep`."""
        passed = self._states.setdefault(stage.index, [])
        if not passed or passed[-1][0] < tau:  # later batches begin anew
            passed.append((tau, state[: self._images].clone()))

    def at(self, stage: Stage, tau: float, start: Tensor) -> Tensor:
        """The state (b c h w) at a time above 0, on the line between those that are kept and the stage's start."""
        known = [(0.0, start), *self._states[stage.index]]
        later = min(bisect_left([time for time, _ in known], tau), len(known) - 1)
        (before, x), (after, y) = known[later - 1], known[later]
        return x + (tau - before) / (after - before) * (y - x)


def fitted_settings(
    run: Run, sampling: SamplingSpec, values: Mapping[str, Sequence[object]], seeds: Sequence[int], path: ReferencePath
) -> dict[str, object]:
    """The settings of `fitted` with whose weights images of these values and seeds follow the path.

    Raises:
        OutOfMemoryError: memory does not hold them in one batch.
    """
    model, count = ready(run.model, sampling, Flop()), len(seeds)
    fitting, prompt = _Fitting(path), Prompt(count, values)
    plan = replace(build_plan(sampling, run.spec.stages), sampler=fitting)
    shape = (run.spec.image.channels, *run.spec.image.size)
    with evaluating(model), memory_for(f"fitting on {count} images", "lower the sampling's batch_size"):
        null = condition_for(Prompt(1), model, count)
        generate(model, plan, prompt.condition(model), null, SeededNoise(seeds, model.device), shape)
    return {"type": Fitted.type_name(), "weights": tuple(fitting.found), "times": tuple(fitting.times)}


class _Fitting(Fitted):
    """Chooses the weights of every step when it comes to it, so that later ones make up for what earlier ones miss."""

    def __init__(self, path: ReferencePath) -> None:
        super().__init__(Fitted.Params())
        self.found: list[StepWeights] = []
        self.times: list[tuple[float, ...]] = []
        self._path = path

    def at(self, stage: Stage) -> Self:
        self._stage = stage
        return self

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        assert self._stage is not None
        given, found = [x], list[tuple[float, ...]]()
        for now, after in pairwise(points):
            given.append(field(x, now))
            found.append(least_squares(given, self._path.at(self._stage, after, given[0]) - x))
            x = field.stepped(moved(x, given, found[-1]), after)
        self.found.append(tuple(found))
        self.times.append(tuple(round(float(point), _DIGITS) for point in points))
        return x


def least_squares(given: Sequence[Tensor], target: Tensor) -> tuple[float, ...]:
    """The weights with which the sum of `given` comes closest to `target`, all of one shape."""
    columns = torch.stack([one.flatten() for one in given], dim=1).double().cpu()
    gram, right = columns.mT @ columns, columns.mT @ target.flatten().double().cpu()
    ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(given), dtype=gram.dtype)
    return tuple(round(float(one), _DIGITS) for one in torch.linalg.solve(gram + ridge, right))
