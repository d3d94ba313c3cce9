"""The parts of a sweep, each done once: claimed by one process, finished by one file that appears at once.

::

    sweeps/NAME/                  a sweep's folder: its plan and report
           trainings/KEY/run/     a run folder, like any other
           cells/KEY/images/      what was generated; evaluation.json says how it was measured
           */KEY/result.json      there as soon as the part is done, and never written again
           cells/KEY/partial.json  what was measured where a metric failed
           */KEY/failed.json      why it failed; the next `pixelflow sweep run` tries again
           */KEY/log.txt          everything it printed

Sweeps that lie beside each other share trainings and cells: the paper's Tables 3a, 3b and 3c train one model.
A claim ends with the process that holds it, however that ends. What is half done when a process is killed is gone on
with: a training from its checkpoint, an evaluation from its images.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel

from pixelflow.core.spec import ExperimentSpec
from pixelflow.costs.planning import costs
from pixelflow.evaluation import records
from pixelflow.evaluation.generated import Generation
from pixelflow.evaluation.inputs import reference_for
from pixelflow.evaluation.measurement import Measurement, prepare
from pixelflow.evaluation.of_run import asked_for
from pixelflow.generation.draw import Drawn
from pixelflow.generation.orders import WeightsSource
from pixelflow.generation.run import Run
from pixelflow.runs.metric_result import MetricResult
from pixelflow.runs.runfolder import RunFolder
from pixelflow.sweep.points.keys import cell_key, run_key, training_key
from pixelflow.sweep.points.plan import Cell, Plan
from pixelflow.sweep.points.settings import CELLS, TRAININGS
from pixelflow.sweep.work.task import AGAIN, Task
from pixelflow.system.errors import DataError
from pixelflow.system.parallel import Parallel
from pixelflow.system.records import Body, FileKind, LaterFormatError
from pixelflow.system.stopping import StopSignals
from pixelflow.training.session import train

logger = logging.getLogger(__name__)

SEED = 0
"""Of the first image of every cell, so that cells can be compared image by image."""


DRAWN = FileKind("a record of what drawing costs", "remove it")


class _Trained(BaseModel):
    images_per_second: float


class Measured(BaseModel):
    """What the task of a cell found."""

    seconds_per_image: float | None = None
    macs_per_image: float | None = None
    """None also in results of former versions."""
    results: list[MetricResult] = []
    """Of the metrics that did not fail."""


class Training(Task):
    """One training, shared by all points that need its weights."""

    kind = FileKind("the result of a training", AGAIN, _Trained)

    def __init__(self, folder: Path, spec: ExperimentSpec) -> None:
        super().__init__(folder)
        self.spec = spec
        self.run = folder / "run"

    @property
    def what(self) -> str:
        return f"training {self.folder.name}"

    @property
    def key(self) -> str:
        return training_key(self.spec)

    @property
    def progress(self) -> str:
        lines = RunFolder(self.run).history.lines() if (self.run / "spec.yaml").is_file() else iter(())
        steps = [line["step"] for line in lines]
        return f"step {steps[-1]:,} of {self.spec.training.steps:,}" if steps else ""

    def perform(self, parallel: Parallel) -> Body:
        """Train to the last step, from the newest checkpoint if there is one; raises as `train` does."""
        with StopSignals() as signals:
            run = train(self.spec, self.run, parallel, signals)
        return {"images_per_second": _training_speed(run)}

    def opened(self, device: torch.device) -> Run:
        """The trained run."""
        return Run.open(self.run, device=str(device))


class Trained(Training):
    """A run that is trained already, in the place of a training."""

    def __init__(self, source: WeightsSource, spec: ExperimentSpec) -> None:
        super().__init__(Path(source.run), spec)
        self.source, self.run = source, Path(source.run)

    @property
    def key(self) -> str:
        return run_key(self.source.sha256)

    @property
    def is_done(self) -> bool:
        return True

    def opened(self, device: torch.device) -> Run:
        return Run.reopen(self.source, device=str(device))


class Evaluation(Task):
    """One cell: images from a training, measured against its data."""

    kind = FileKind("the result of an evaluation", AGAIN, Measured)

    def __init__(self, folder: Path, cell: Cell, training: Training, label: str) -> None:
        super().__init__(folder)
        self.cell, self.training, self.label = cell, training, label
        self.images = folder / "images"
        self._partial = folder / "partial.json"

    @property
    def what(self) -> str:
        return self.label

    @property
    def key(self) -> str:
        return cell_key(self.cell.spec, self.training.key)

    @property
    def needs(self) -> Training:
        return self.training

    @property
    def progress(self) -> str:
        drawn = sum(1 for _ in self.images.glob("[0-9]*.png"))
        return f"{drawn:,} of {self.cell.spec.evaluation.images:,} images" if drawn else ""

    def perform(self, parallel: Parallel) -> Body | None:
        """Generate the images that are missing and measure all; raises as `Run.open` and `Measurement` do."""
        spec = self.cell.spec
        prepare(spec.evaluation, parallel.device)
        run = self.training.opened(parallel.device)
        generation, data = asked_for(run, spec, SEED)
        spent = self._draw(generation, parallel)
        parallel.wait()
        measurement = Measurement.of_run(generation, self.images, spec.evaluation, reference_for(spec, data))
        compared = measurement.compared(self.folder, parallel.device, parallel=parallel)
        outcomes = parallel.led(lambda: list(measurement.measure(compared)), compared.serve)
        if outcomes is None:
            return None
        measurement.record(self.folder, outcomes)
        measured = {**spent, "results": [one.model_dump() for one in records.results_of(outcomes)]}
        self.kind.write(self._partial, measured)
        records.check(outcomes)
        self._partial.unlink()
        shutil.rmtree(self.folder / "features", ignore_errors=True)  # the result is final, and cells are many
        return measured

    @property
    def measured(self) -> Measured:
        """The result; where a metric failed, those of the others; raises DataError where somebody damaged it."""
        if self.is_done:
            return Measured.model_validate(self.result)
        return Measured.model_validate(self.kind.read(self._partial) if self._partial.is_file() else {})

    def forget_failure(self) -> None:
        super().forget_failure()
        self._partial.unlink(missing_ok=True)

    def _draw(self, generation: Generation, parallel: Parallel) -> dict[str, float | None]:
        """Seconds and MAC an image, medians over batches since the last stop; None if a stop kept them from note."""
        file = self.folder / "drawn.json"
        images = generation.images_in(self.images)
        if parallel.is_first and images.are_others:  # a former version began, and knew fewer settings
            shutil.rmtree(self.images)
        macs: list[float] = []
        stages = costs(self.cell.spec).stages

        def counted(indices: Sequence[int]) -> Iterator[Drawn]:
            for drawn in generation.drawn(indices, parallel):
                macs.append(sum(one.once.macs * n for one, n in zip(stages, drawn.nfe, strict=True)))
                yield drawn

        times = [(count, time.perf_counter()) for count in images.draw(counted, parallel)]
        seconds = [(late - early) / (after - before) for (before, early), (after, late) in itertools.pairwise(times)]
        if seconds and parallel.is_first:
            spent = {"seconds_per_image": statistics.median(seconds), "macs_per_image": statistics.median(macs)}
            DRAWN.write(file, spent)
        noted = _noted(file)
        return {key: noted.get(key) for key in ("seconds_per_image", "macs_per_image")}


def _noted(file: Path) -> Body:
    """What drawing cost; nothing where that is not known: it costs no result, and cannot be had again."""
    try:
        return DRAWN.read(file) if file.is_file() else {}
    except LaterFormatError:
        raise
    except DataError as error:
        logger.warning("%s", error)
        return {}


def tasks_of(plan: Plan, folder: Path) -> list[Task]:
    """Every training followed by its evaluations; they lie beside the sweep's own folder."""
    labels = {point.cell: point.label for point in reversed(plan.points)}
    tasks: list[Task] = []
    if plan.run is not None:
        for name, cell in plan.cells.items():
            tasks.append(Evaluation(folder.parent / CELLS / name, cell, Trained(plan.run, cell.spec), labels[name]))
    for key, spec in plan.trainings.items():
        training = Training(folder.parent / TRAININGS / key, spec)
        tasks.append(training)
        own = {name: cell for name, cell in plan.cells.items() if cell.training == key}
        tasks += [Evaluation(folder.parent / CELLS / name, cell, training, labels[name]) for name, cell in own.items()]
    return tasks


def cells_of(tasks: list[Task]) -> Mapping[str, Evaluation]:
    """The evaluations, by key."""
    return {task.folder.name: task for task in tasks if isinstance(task, Evaluation)}


def _training_speed(run: RunFolder) -> float:
    lines = run.history.lines()
    found: float = statistics.median(line["images_per_second"] for line in lines if "images_per_second" in line)
    return found
