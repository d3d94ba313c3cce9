"""Evaluations of the averaged weights while they are trained; the best weights are kept."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch

from pixelflow.core.interfaces import Dataset
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import history
from pixelflow.runs.history import Evaluated
from pixelflow.runs.metrics_line import MetricsLine
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.parallel import Parallel

if TYPE_CHECKING:
    pass


class Evaluations:
    """Measures every `evaluation.every` steps, and after the last one; the run's metrics say what is done.

    Raises:
        MissingInputError, MissingDependencyError, UsageError, DataError: see `prepare`.
    """

    def __init__(self, run: RunFolder, spec: ExperimentSpec) -> None:
        self._run, self._spec = run, spec
        self._settings = spec.evaluation
        if self._settings.every is not None:
            from pixelflow.evaluation.measurement import prepare

            prepare(self._settings, torch.device("cpu"))

    def are_at(self, step: int) -> bool:
        """Whether `step` is one whose weights are evaluated."""
        every = self._settings.every
        return every is not None and step > 0 and (step % every == 0 or step == self._spec.training.steps)

    def are_due(self, step: int) -> bool:
        """Whether `step` is one, and not done."""
        return self.are_at(step) and all(one.step != step for one in self._done())

    @property
    def best(self) -> Evaluated | None:
        return history.best_of(self._done())

    @property
    def told(self) -> str:
        """The newest main figure and the best one; empty where there is none yet."""
        done = self._done()
        best = history.best_of(done)
        if best is None:
            return ""
        newest = f"{done[-1].metric} {done[-1].value:.4g}"
        return f"{newest} (best)" if best.step == done[-1].step else f"{newest} (best {best.value:.4g} at {best.step})"

    def measure(self, model: FlowModel, step: int, parallel: Parallel) -> MetricsLine | None:
        """Draw images and measure them; returns the line of metrics, and leaves the record in ``evaluations/``.

        Every process draws and measures its share; the first writes, and has the line.
        No randomness of the training is touched, so that weights do not depend on evaluations.
        """
        from pixelflow.evaluation.in_training import evaluate_model

        folder = self._run.evaluations / f"step-{step:08d}"
        results = evaluate_model(
            model, self._spec, self._data, folder, step=step, classes=self._run.classes, parallel=parallel
        )
        if results is None:
            return None
        return history.line_of(step, self._settings.images, results)

    @cached_property
    def _data(self) -> Dataset:
        from pixelflow.evaluation.inputs import plain_dataset

        return plain_dataset(self._spec)

    def _done(self) -> list[Evaluated]:
        return self._run.history.evaluated
