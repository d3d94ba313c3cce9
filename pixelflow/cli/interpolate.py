"""``pixelflow interpolate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from pixelflow.system.terminal import tell


def interpolate(
    run: RunPath,
    out: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What to write: .gif, .webp or .apng, or a strip as .png."),
    ],
    overrides: SamplingOverrides = None,
    seeds: Annotated[str, typer.Option(metavar="N,N,...", help="Of the ends; one alone keeps the noise.")] = "0,1",
    labels: Annotated[
        str | None, typer.Option(help="Classes of the ends by name or number, e.g. 3,7; by default the first.")
    ] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="A caption; once for each end.")] = None,
    negative: Annotated[list[str] | None, typer.Option(help="What guidance leads away from.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the images; by default the spec's.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, max=1000, help="From one end to the next.")] = 16,
    loop: Annotated[bool, typer.Option("--loop", help="Lead from the last end to the first again.")] = False,
    fps: Annotated[float, typer.Option(min=0.1, max=100, help="Frames a second.")] = 12,
    steps: Steps = None,
    sampler: Sampler = None,
    guidance: Guidance = None,
    grid: Grid = None,
    settings: SamplingSettings = None,
    weights: Weights = "ema",
    step: CheckpointStep = None,
    device: Device = None,
) -> None:
    """Draw the way from one image to another, between seeds, labels or captions: an animation, or a strip."""
    from pixelflow.generation.animation import check_ending, write_frames
    from pixelflow.generation.interpolation import between
    from pixelflow.generation.run import Run
    from pixelflow.generation.settings import changed_sampling, read_size
    from pixelflow.generation.written import sampling_changes
    from pixelflow.system.errors import UsageError
    from pixelflow.system.files import check_free

    check_ending(out)
    check_free(out, "FILE")
    try:
        ends = [int(one) for one in seeds.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {seeds}: must be whole numbers between commas, such as 0,1,2") from None
    changes = sampling_changes(steps=steps, sampler=sampler, guidance=guidance, grid=grid, settings=settings)
    opened = Run.open(run, step=step, weights=weights, device=device)
    sampling = changed_sampling(opened.spec, changes, overrides or ())
    opened.spec = opened.spec.model_copy(update={"sampling": sampling})
    given: dict[str, object] = {}
    if labels is not None:
        given["labels"] = [labels] if labels in opened.classes else [one.strip() for one in labels.split(",")]
    if prompt:
        given["prompts"] = prompt
    if negative:
        given["negatives"] = negative
    if size is not None:
        given["size"] = read_size(size)
    drawn = between(opened, seeds=ends, frames=frames, loop=loop, **given).draw()
    write_frames(out, drawn.images, drawn.titles, fps)
    tell(f"{out}: {len(drawn)} frames")
