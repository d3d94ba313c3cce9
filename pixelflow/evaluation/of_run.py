"""Evaluating a run: its spec with what an evaluation may change, the images to draw, and all of it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pixelflow.core import reading
from pixelflow.core.interfaces import Dataset
from pixelflow.core.spec import ExperimentSpec
from pixelflow.evaluation import records
from pixelflow.evaluation.comparison import Progress, silent
from pixelflow.evaluation.generated import Generation, reads_data, values_for
from pixelflow.evaluation.inputs import plain_dataset, reference_for
from pixelflow.evaluation.measurement import Measurement, check_places, prepare
from pixelflow.generation.run import Run
from pixelflow.generation.settings import changed_sampling, whole_key
from pixelflow.runs.metric_result import MetricResult
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import UsageError


def changed_spec(folder: Path, run: Run, overrides: Sequence[str], sampling: Mapping[str, object]) -> ExperimentSpec:
    """The run's spec with what an evaluation may change.

    Args:
        folder: the run's.
        sampling: see `changed_sampling`; applied last.

    Raises:
        SpecError, UsageError: a value or a key that does not fit.
    """
    kept = RunFolder(folder)
    asked = reading.override(kept.document, [whole_key(text) for text in overrides])
    changed = kept.validate(asked, to_draw=True)
    own = {"evaluation": run.spec.evaluation, "sampling": run.spec.sampling, "data": run.spec.data}
    if changed.model_copy(update=own) != run.spec:
        raise UsageError("of a trained run only evaluation.*, sampling.* and data.* can be changed")
    return changed.model_copy(update={"sampling": changed_sampling(changed, sampling)})


def asked_for(run: Run, spec: ExperimentSpec, seed: int) -> tuple[Generation, Dataset | None]:
    """The images that an evaluation by this spec draws, and the spec's data, where they are needed."""
    data = plain_dataset(spec) if spec.evaluation.reference is None or reads_data(run) else None
    count = spec.evaluation.images
    given = {} if data is None else values_for(run, count, data)
    return Generation(run, spec.sampling, count, seed, given), data


def evaluate(
    run: Run,
    overrides: Sequence[str],
    sampling: Mapping[str, object],
    seed: int,
    out: Path | None,
    progress: Progress = silent,
) -> list[MetricResult]:
    """See `pixelflow.evaluate`."""
    spec, device = changed_spec(Path(run.source.run), run, overrides, sampling), run.model.device
    generation, data = asked_for(run, spec, seed)
    folder = out or Path(run.source.run) / "evaluations" / generation.digest
    check_places(folder)
    prepare(spec.evaluation, device)
    real = reference_for(spec, data)
    for done in generation.draw_into(folder / "images"):
        progress("images", done, generation.count)
    measurement = Measurement.of_run(generation, folder / "images", spec.evaluation, real)
    outcomes = list(measurement.measure(measurement.compared(folder, device, progress)))
    measurement.record(folder, outcomes)
    records.check(outcomes)
    return records.results_of(outcomes)
