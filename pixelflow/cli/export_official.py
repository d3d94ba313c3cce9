"""``pixelflow export-official``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli.arguments import CheckpointStep, RunPath, Weights
from pixelflow.system.terminal import tell


def export_official(
    run: RunPath,
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder to write: config.yaml and model.pt.")],
    step: CheckpointStep = None,
    weights: Weights = "ema",
) -> None:
    """Write a run in the form in which PixelFlow's authors publish their models."""
    from pixelflow.official.exchange import export_release
    from pixelflow.runs.runfolder import RunFolder
    from pixelflow.system.files import check_writable

    check_writable(target, "DST")
    folder = RunFolder(run)
    done = export_release(folder, target, step=folder.step_of(step), weights=weights)
    tell(f"{done.path}: {done.weights} weights, {done.parameters:,} parameters")
