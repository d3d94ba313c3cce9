"""``pixelflow tune``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelflow.cli.arguments import CheckpointStep, Device, RunPath, SamplingOverrides, Weights
from pixelflow.system.terminal import say, tell

if TYPE_CHECKING:
    from pixelflow.costs.tuning import TunedSampling
    from pixelflow.generation.run import Run


def tune(
    run: RunPath,
    overrides: SamplingOverrides = None,
    error: Annotated[
        float, typer.Option(help="Root mean square difference to the reference that is allowed, pixels in [-1, 1].")
    ] = 0.02,
    images: Annotated[int, typer.Option(min=1, max=10_000, help="Images that are compared.")] = 16,
    weights: Weights = "ema",
    step: CheckpointStep = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write; by default RUN/sampling-ERROR.yaml.")
    ] = None,
    device: Device = None,
) -> None:
    """Find the sampler, grid, steps of each stage and what is reused that cost least for an allowed error.

    Images are compared with the same ones drawn in very fine steps. The file that is written is taken by

      pixelflow sample RUN --settings FILE
    """
    from pixelflow.costs.tuning import Tuner
    from pixelflow.generation.run import Run
    from pixelflow.generation.settings import changed_sampling
    from pixelflow.system.errors import UsageError
    from pixelflow.system.files import check_free, write_text

    if error <= 0:
        raise UsageError(f"--error {error:g}: must be above 0")
    file = out or run / f"sampling-{error:g}.yaml"
    check_free(file, "--out")
    opened = Run.open(run, step=step, weights=weights, device=device)
    opened.spec = opened.spec.model_copy(update={"sampling": changed_sampling(opened.spec, {}, overrides or ())})
    tuner = Tuner(opened, images, say)
    best = tuner.best(error)
    write_text(file, _text(opened, best, error, images))
    tell(
        f"{best.choice}: error {best.error:.4f}, {best.nfe:g} NFE and {best.macs / 1e9:.4g} GMAC an "
        f"image, {best.macs / tuner.reference_macs:.2%} of the reference's: {file}"
    )


def _text(run: Run, best: TunedSampling, error: float, images: int) -> str:
    """The file: settings as a spec has them, and in comments where they are from."""
    import yaml

    kept = ("sampler", "grid", "steps", "guidance", "block_cache")
    body = best.sampling.model_dump(mode="json", include=set(kept))
    settings = {key: body[key] for key in kept if body[key] is not None}
    of_run = f"{run.spec.name}, step {run.step} ({run.source.weights} weights)"
    where = f"# Found by pixelflow tune for {of_run}: {images} images"
    measured = (
        f"# within {error:g} of a fine reference (root mean square {best.error:.4f}), at {best.macs / 1e9:.4g} GMAC "
        f"and {best.nfe:g} NFE an image"
    )
    return f"{where}\n{measured}\n{yaml.safe_dump(settings, sort_keys=False)}"
