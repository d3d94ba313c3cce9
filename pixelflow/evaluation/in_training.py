"""Evaluating a model while it is trained."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from pixelflow.core.interfaces import Dataset
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.evaluation import records
from pixelflow.evaluation.generated import Generation, values_for
from pixelflow.evaluation.inputs import reference_for
from pixelflow.evaluation.measurement import Measurement
from pixelflow.evaluation.records import MetricOutcome
from pixelflow.generation.draw import evaluating
from pixelflow.generation.orders import WeightsSource
from pixelflow.generation.run import Run
from pixelflow.runs.metric_result import MetricResult
from pixelflow.system.parallel import Parallel

logger = logging.getLogger(__name__)


def evaluate_model(
    model: FlowModel,
    spec: ExperimentSpec,
    data: Dataset,
    folder: Path,
    *,
    step: int,
    classes: Sequence[str],
    parallel: Parallel | None = None,
) -> list[MetricResult] | None:
    """Draw images by the spec's sampling block and measure them by its evaluation block.

    Args:
        model: with the averaged weights; left as it was.
        spec: resolved.
        data: of the spec, without augmentation; see `plain_dataset`.
        classes: names of the labels, in the run's order, which may not be that of the data.
        folder: of all that is written there only the record is left.
        parallel: processes that all call this and share the work; the first writes.

    Returns:
        The result of each metric. Of one that fails, other than the first, the log and the record tell why. None in
        all processes but the first.

    Raises:
        DataError, NonFiniteError, CannotWriteError: the images cannot be measured by the first metric, which decides
            what is best, or not be drawn or written.
    """
    parallel = parallel or Parallel(model.device)
    parallel.by_first(lambda: _clear(folder))
    with evaluating(model):
        source = WeightsSource(run=spec.name, step=step, weights="ema", sha256="")
        run = Run(spec, model, classes, source)
        count = spec.evaluation.images
        generation = Generation(run, spec.sampling, count, 0, values_for(run, count, data))
        for _ in generation.draw_into(folder / "images", parallel):
            pass
        parallel.wait()
        measurement = Measurement.of_run(generation, folder / "images", spec.evaluation, reference_for(spec, data))
        compared = measurement.compared(folder, model.device, parallel=parallel)
        outcomes = parallel.led(lambda: list(measurement.measure(compared)), compared.serve)
    return None if outcomes is None else _kept(measurement, outcomes, folder, step)


def _kept(measurement: Measurement, outcomes: Sequence[MetricOutcome], folder: Path, step: int) -> list[MetricResult]:
    """Record what was measured, and nothing else; returns it."""
    measurement.record(folder, outcomes)
    _clear(folder)
    records.check(outcomes[:1])
    for outcome in outcomes:
        if outcome.error is not None:
            logger.warning("evaluation at step %d: %s", step, outcome.reason)
    return records.results_of(outcomes)


def _clear(folder: Path) -> None:
    """Remove what an evaluation makes on the way."""
    for scratch in ("images", "features"):
        shutil.rmtree(folder / scratch, ignore_errors=True)
