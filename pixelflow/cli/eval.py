"""``pixelflow eval``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelflow.cli.arguments import Overrides
from pixelflow.cli.tables import table

if TYPE_CHECKING:
    from pixelflow.core.interfaces import Dataset
    from pixelflow.core.spec import ExperimentSpec
    from pixelflow.evaluate import Generation, Measurement
    from pixelflow.run import Run


def eval(
    source: Annotated[Path, typer.Argument(metavar="RUN|FOLDER", help="A run to sample from, or images.")],
    overrides: Overrides = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Real images; by default the run's data.")
    ] = None,
    images: Annotated[int | None, typer.Option(min=2, help="Images to generate; by default as in the spec.")] = None,
    guidance: Annotated[str | None, typer.Option(help="Scale of the guidance, or a guidance's name.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first image.")] = 0,
    step: Annotated[int | None, typer.Option(help="Checkpoint; by default the newest.")] = None,
    weights: Annotated[str, typer.Option(metavar="ema|raw", help="Which weights.")] = "ema",
    device: Annotated[str | None, typer.Option(help="A torch device; by default the first GPU, else the CPU.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default one inside the run.")] = None,
) -> None:
    """Compare generated images with real ones, by the metrics of the spec's evaluation block.

    A run is sampled to files first; stopped and started again, it goes on where it was. KEY=VALUE changes the
    evaluation, sampling and data of its spec, e.g. sampling.steps=20 evaluation.metrics=[clean_fid].
    """
    from pixelflow.core.device import choose_device

    target = choose_device(device)
    if (source / "spec.yaml").is_file():
        from pixelflow.evaluate import Generation, captions_for, folder_dataset, plain_dataset
        from pixelflow.run import Run

        run = Run.open(source, step=step, weights=weights, device=device)
        changes = [*(overrides or ()), *([f"evaluation.images={images}"] if images else [])]
        spec = _changed(source, run, changes, guidance)
        size = (*spec.image.size, spec.image.channels)
        data = folder_dataset(reference, *size) if reference else plain_dataset(spec)
        count = spec.evaluation.images
        generation = Generation(run, spec.sampling, count, seed, captions_for(run, count, data))
        folder = out or source / "evaluations" / generation.digest
        measurement = _generated(generation, folder, spec, data)
    else:
        folder = out or source
        measurement = _of_folder(source, reference, overrides or [])
    results = list(_printed(measurement.measure(folder, target)))
    typer.echo(f"written to {measurement.record(folder, results)}")


def _changed(source: Path, run: Run, overrides: list[str], guidance: str | None) -> ExperimentSpec:
    """The run's spec with what an evaluation may change.

    Raises:
        SpecError, UsageError: a value or a key that does not fit.
    """
    from pixelflow.core import reading
    from pixelflow.core.errors import UsageError
    from pixelflow.core.runfolder import RunFolder
    from pixelflow.core.spec import ExperimentSpec
    from pixelflow.generation.settings import changed_sampling

    document = reading.override(reading.read_document(RunFolder(source).spec_file), overrides)
    changed = reading.validate(ExperimentSpec, document)
    own = {"evaluation": run.spec.evaluation, "sampling": run.spec.sampling, "data": run.spec.data}
    if changed.model_copy(update=own) != run.spec:
        raise UsageError("of a trained run only evaluation.*, sampling.* and data.* can be changed")
    value = None if guidance is None else reading.parse(guidance, "--guidance").data
    return changed.model_copy(update={"sampling": changed_sampling(changed, {"guidance": value})})


def _generated(generation: Generation, folder: Path, spec: ExperimentSpec, data: Dataset) -> Measurement:
    """Draw the images, with a progress bar, and set them against the data or a folder."""
    from pixelflow.evaluate import Measurement

    sampling, source = spec.sampling, generation.run.source
    guidance = " ".join(str(value) for value in sampling.guidance.model_dump(mode="json").values())
    typer.echo(
        f"{spec.name} at step {source.step} ({source.weights} weights): {generation.count} images "
        f"from seed {generation.seed}, "
        f"{sampling.sampler.component.type_name()}, steps {sampling.steps}, guidance {guidance}"
    )
    _show_progress(generation.draw_into(folder / "images"), generation.count)
    return Measurement.of_run(generation, folder / "images", spec.evaluation, data)


def _of_folder(images: Path, reference: Path | None, overrides: list[str]) -> Measurement:
    from pixelflow.core import reading
    from pixelflow.core.errors import MissingInputError, UsageError
    from pixelflow.evaluate import FolderEvaluation, Measurement

    if not images.is_dir():
        raise MissingInputError(f"{images}: there is no such run or folder")
    if reference is None:
        raise UsageError(f"{images}: is not a run; to compare a folder of images, give --reference FOLDER as well")
    document = reading.override(reading.Document("settings", {}), overrides)
    return Measurement.of_folders(images, reference, reading.validate(FolderEvaluation, document).evaluation)


def _show_progress(done: Iterator[int], total: int) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("images"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=total)
        for count in done:
            bar.update(task, completed=count)


def _printed(results: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same results, each shown as soon as it is there."""
    for result in results:
        typer.echo(result["metric"])
        typer.echo(table([(name.replace("_", " "), f"{value:.4g}") for name, value in result["values"].items()]))
        yield result
