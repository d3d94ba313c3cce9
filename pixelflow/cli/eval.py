"""``pixelflow eval``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelflow.cli import completing
from pixelflow.cli.arguments import (
    LAST_SEED,
    MOST_IMAGES,
    CheckpointStep,
    Device,
    Grid,
    Guidance,
    Sampler,
    SamplingSettings,
    Steps,
    Weights,
)
from pixelflow.cli.progress import bars
from pixelflow.system.tables import table
from pixelflow.system.terminal import say, tell

if TYPE_CHECKING:
    import torch

    from pixelflow.core.interfaces import Dataset
    from pixelflow.core.spec import ExperimentSpec
    from pixelflow.evaluation.generated import Generation
    from pixelflow.evaluation.inputs import Reference
    from pixelflow.evaluation.measurement import Measurement
    from pixelflow.evaluation.records import MetricOutcome
    from pixelflow.system.parallel import Parallel
    from pixelflow.system.records import Body


def eval(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FOLDER|NPZ", help="A run to sample from, or images.", autocompletion=completing.runs
        ),
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes, e.g. evaluation.metrics=[frechet].")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|NPZ|SPEC",
            help="Real images, saved statistics, or a spec whose data to take; by default the run's data.",
            autocompletion=completing.specs,
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=2, max=MOST_IMAGES, help="Images to generate; by default as in the spec.")
    ] = None,
    steps: Steps = None,
    sampler: Sampler = None,
    guidance: Guidance = None,
    grid: Grid = None,
    settings: SamplingSettings = None,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Seed of the first image.")] = 0,
    step: CheckpointStep = None,
    weights: Weights = "ema",
    device: Device = None,
    save_statistics: Annotated[
        Path | None, typer.Option(metavar="NPZ", help="Keep the real images' statistics, to be a --reference.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default one in RUN/evaluations, of files in evaluations.")
    ] = None,
) -> None:
    """Compare generated images with real ones, by the metrics of the spec's evaluation block.

    A run is sampled to files first; stopped and started again, sampling and feature extraction go on where they were.
    KEY=VALUE changes the evaluation, sampling and data of its spec, e.g. evaluation.metrics=[frechet]
    evaluation.bootstrap=100 sampling.batch_size=8; settings of sampling need not name their block. Nothing is written
    into a folder of pictures, and no result takes the place of another one. On several GPUs:
    torchrun --nproc-per-node 8 -m pixelflow -- eval RUN
    """
    from pixelflow.system.distributed import joined

    with joined(device) as parallel:
        own = device if parallel.size == 1 else str(parallel.device)
        if (source / "spec.yaml").is_file():
            from pixelflow.evaluation.of_run import asked_for, changed_spec
            from pixelflow.generation.run import Run
            from pixelflow.generation.written import sampling_changes

            run = Run.open(source, step=step, weights=weights, device=own)
            changes = [*(overrides or ()), *([f"evaluation.images={images}"] if images else [])]
            sampling = sampling_changes(steps=steps, sampler=sampler, guidance=guidance, grid=grid, settings=settings)
            spec = changed_spec(source, run, [*changes, *_chosen(reference)], sampling)
            generation, data = asked_for(run, spec, seed)
            folder = out or source / "evaluations" / generation.digest
            _check_writable(folder, parallel)
            measurement = _of_run(generation, folder, spec, data, save_statistics, parallel)
        else:
            drawing = {"--steps": steps, "--sampler": sampler, "--guidance": guidance, "--grid": grid}
            _refuse_for_files(source, {"--images": images, **drawing, "--step": step})
            measurement = _of_files(source, [*(overrides or ()), *_chosen(reference)], parallel.device)
            _check_replaceable(save_statistics, measurement.reference)
            folder = out or _beside_pictures(source, measurement)
            _check_writable(folder, parallel)
        _measure(measurement, folder, save_statistics, parallel)


def _check_writable(folder: Path, parallel: Parallel) -> None:
    from pixelflow.evaluation.measurement import check_places

    if parallel.is_first:
        check_places(folder)


def _measure(measurement: Measurement, folder: Path, statistics: Path | None, parallel: Parallel) -> None:
    """Measure, record and tell; of several processes all extract features, and the first does the rest."""
    from pixelflow.evaluation import records

    if parallel.is_first:
        for line in measurement.inputs:
            say(line)
        for note in measurement.notes:
            say(f"note: {note}")

    def led() -> tuple[list[MetricOutcome], list[str]]:
        with bars() as shown:
            compared.progress = shown
            outcomes = list(_printed(measurement.measure(compared), shown.say))
        tell(f"written to {measurement.record(folder, outcomes)}")
        are_whole = all(outcome.error is None for outcome in outcomes)
        saved = statistics is not None and are_whole
        return outcomes, measurement.save_statistics(statistics, compared) if saved and statistics else []

    compared = measurement.compared(folder, parallel.device, parallel=parallel)
    found = parallel.led(led, compared.serve)
    if found is not None:
        outcomes, names = found
        records.check(outcomes)
        if statistics is not None:
            tell(f"statistics of {', '.join(names)}: {statistics}")


def _beside_pictures(source: Path, measurement: Measurement) -> Path:
    """Where the results of images in files go: ``evaluations/NAME-DIGEST`` here, but never among pictures."""
    from pixelflow.system.printing import printable

    below = Path()
    for pictures in (source, measurement.spec.reference):
        if pictures is not None and pictures.is_dir() and below.resolve().is_relative_to(pictures.resolve()):
            below = pictures.resolve().parent
    return below / "evaluations" / f"{printable(source.resolve().stem)}-{measurement.digest}"


def _chosen(reference: Path | None) -> list[str]:
    """The option as a change of the spec."""
    from pixelflow.core import shipped
    from pixelflow.evaluation.inputs import REFERENCE, check_reference

    if reference is None:
        return []
    reference = shipped.found(reference)
    check_reference(reference, "--reference")
    return [f"{REFERENCE}={json.dumps(str(reference))}"]


def _check_replaceable(statistics: Path | None, reference: Reference) -> None:
    """Raise CannotWriteError, before there is much to lose, if the statistics cannot be written there."""
    from pixelflow.evaluation.statistics import check_replaceable

    if statistics is not None:
        check_replaceable(statistics, reference.source.fingerprint)


def _of_run(
    generation: Generation,
    folder: Path,
    spec: ExperimentSpec,
    data: Dataset | None,
    statistics: Path | None,
    parallel: Parallel,
) -> Measurement:
    """Draw the images, with a progress bar, and set them against the reference, else the data."""
    from pixelflow.evaluation.inputs import reference_for
    from pixelflow.evaluation.measurement import Measurement, prepare

    prepare(spec.evaluation, generation.run.model.device)
    real = reference_for(spec, data)
    _check_replaceable(statistics, real)
    sampling, source = spec.sampling, generation.run.source
    guidance = " ".join(str(value) for value in sampling.guidance.model_dump(mode="json").values())
    if parallel.is_first:
        tell(
            f"{spec.name} at step {source.step} ({source.weights} weights): {generation.count} images "
            f"from seed {generation.seed}, "
            f"{sampling.sampler.component.type_name()}, steps {sampling.steps}, guidance {guidance}"
        )
    with bars(silent=not parallel.is_first) as shown:
        for done in generation.draw_into(folder / "images", parallel):
            shown("images", done, generation.count)
    parallel.wait()
    return Measurement.of_run(generation, folder / "images", spec.evaluation, real)


def _refuse_for_files(source: Path, options: dict[str, object]) -> None:
    from pixelflow.system.errors import MissingInputError, UsageError

    if not source.exists():
        raise MissingInputError(f"{source}: there is no such run, folder or npz")
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"{source}: is not a run; {', '.join(given)} can only be given with one")


def _of_files(images: Path, overrides: list[str], device: torch.device) -> Measurement:
    from pixelflow.core import reading
    from pixelflow.evaluation.inputs import FileEvaluation, open_images, open_reference
    from pixelflow.evaluation.measurement import Measurement, prepare
    from pixelflow.system.errors import UsageError

    document = reading.override(reading.Document("settings", {}), overrides)
    spec = reading.validate(FileEvaluation, document).evaluation
    if spec.reference is None:
        raise UsageError(f"{images}: is not a run; to compare images in files, give --reference as well")
    for key in sorted({"images", "every"} & spec.model_fields_set):
        raise UsageError(f"{images}: is not a run, all of its images are measured; leave out evaluation.{key}")
    prepare(spec, device)
    found = open_images(images, spec.reference)
    real = open_reference(spec.reference, found.shape, spec.bad_images)
    return Measurement.of_files(found, spec, real)


def _printed(outcomes: Iterator[MetricOutcome], say: Callable[..., None]) -> Iterator[MetricOutcome]:
    """The same outcomes, each result shown as soon as it is there."""
    for outcome in outcomes:
        if outcome.result is None:
            say(f"{outcome.metric.title}  failed; see below")
        else:
            result = outcome.result
            rows = [
                (name.replace("_", " "), _figure(value, result.intervals.get(name)))
                for name, value in result.values.items()
            ]
            say(f"{result.metric}  ({_basis(result.recipe)})", *table(rows).split("\n"))
        yield outcome


def _basis(recipe: Body) -> str:
    """``clean-fid, mode clean; weights f58cb9b6; 400 images against 1,797``."""
    known = [one["weights_sha256"][:8] for one in recipe["extractors"] if one["weights_sha256"]]
    real = recipe["reference_images"]
    against = "saved statistics" if real is None else f"{real:,}"
    weights = [f"weights {', '.join(dict.fromkeys(known))}"] if known else []
    return "; ".join([recipe["protocol"], *weights, f"{recipe['images']:,} images against {against}"])


def _figure(value: float, interval: tuple[float, float] | None) -> str:
    """``0.123``, or with its interval ``0.123 [0.119, 0.127]``."""
    return f"{value:.4g}" + (f" [{interval[0]:.4g}, {interval[1]:.4g}]" if interval else "")
