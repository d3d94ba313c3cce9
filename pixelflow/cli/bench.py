"""``pixelflow bench``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelflow.cli.arguments import (
    CheckpointStep,
    Device,
    Grid,
    Guidance,
    RunPath,
    Sampler,
    SamplingOverrides,
    SamplingSettings,
    Steps,
    Weights,
)
from pixelflow.system.errors import UsageError
from pixelflow.system.tables import percent, quantity, table
from pixelflow.system.terminal import tell

if TYPE_CHECKING:
    from pixelflow.costs.speed import SamplingSpeed, TrainingSpeed
    from pixelflow.generation.run import Run


def bench(
    run: RunPath,
    overrides: SamplingOverrides = None,
    steps: Steps = None,
    sampler: Sampler = None,
    guidance: Guidance = None,
    grid: Grid = None,
    settings: SamplingSettings = None,
    batches: Annotated[str, typer.Option(metavar="N,N,...", help="Batch sizes to sample at.")] = "1,8,50",
    weights: Weights = "ema",
    step: CheckpointStep = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the figures here, as JSON.")] = None,
    device: Device = None,
) -> None:
    """Measure seconds per image by batch size, and the share of the device's matrix-multiply peak, by stage.

    The peak is that of the best square product, measured in the same run. Encoding captions and writing files are left
    out; training is measured with the images at hand.
    """
    from pixelflow.costs.speed import matmul_peak, sampling_speeds, training_speed
    from pixelflow.generation.run import Run
    from pixelflow.generation.settings import changed_sampling
    from pixelflow.generation.written import sampling_changes
    from pixelflow.system.files import check_free

    if out is not None:
        check_free(out)
    sizes = _sizes(batches)
    changes = sampling_changes(steps=steps, sampler=sampler, guidance=guidance, grid=grid, settings=settings)
    opened = Run.open(run, step=step, weights=weights, device=device)
    spec = opened.spec.model_copy(update={"sampling": changed_sampling(opened.spec, changes, overrides or ())})
    model, classes = opened.model, len(opened.labels)
    precisions: set[str] = {spec.sampling.precision, spec.training.precision}
    peaks = {precision: matmul_peak(precision, model.device) for precision in precisions}
    tell(_head(opened, peaks))
    sampled = list(sampling_speeds(model, spec, classes, sizes, peaks[spec.sampling.precision]))
    tell(*_sampling(sampled).split("\n"))
    tell(*(f"batch size {size}: does not fit into memory" for size in sizes[len(sampled) :]))
    trained = training_speed(model, spec, classes, peaks[spec.training.precision])
    tell(_training(trained))
    if out is not None:
        _write(out, opened, peaks, sampled, trained)


def _sizes(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"--batches {text}: give whole numbers of at least 1 between commas, e.g. 1,8,50")
    return [int(part) for part in parts]


def _head(run: Run, peaks: Mapping[str, float]) -> str:
    shown = ", ".join(f"{quantity(peak, 'FLOP/s')} in {precision}" for precision, peak in sorted(peaks.items()))
    return f"{run.spec.name} at step {run.step} on {_device(run)}; peak of matrix products {shown}"


def _sampling(speeds: Sequence[SamplingSpeed]) -> str:
    rows = [("sampling, batch", "stage", "NFE", "seconds/image", "of peak")]
    for speed in speeds:
        rows += [
            (str(speed.batch_size), str(index), f"{one.nfe:g}", f"{one.seconds:.4g}", percent(one.share))
            for index, one in enumerate(speed.stages)
        ]
        rows.append((str(speed.batch_size), "all", f"{speed.nfe:g}", f"{speed.seconds:.4g}", percent(speed.share)))
    return table(rows)


def _training(speed: TrainingSpeed) -> str:
    rate, share = f"{speed.images_per_second:.4g} images/s", f"{percent(speed.share)} of the peak"
    return f"training, {speed.batch_size} images at a time: {rate}, {share}"


def _write(
    file: Path, run: Run, peaks: Mapping[str, float], sampled: Sequence[SamplingSpeed], trained: TrainingSpeed
) -> None:
    from pixelflow.runs.environment import environment
    from pixelflow.system.files import write_text

    body: dict[str, object] = {
        "run": run.source.model_dump(mode="json"),
        "device": _device(run),
        "peak_flops": dict(peaks),
        "sampling": [asdict(one) for one in sampled],
        "training": asdict(trained),
        "environment": environment(run.classes, run.spec),
    }
    write_text(file, json.dumps(body, indent=1) + "\n")
    tell(f"written to {file}")


def _device(run: Run) -> str:
    import torch

    device = run.model.device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device} with {torch.get_num_threads()} threads"
