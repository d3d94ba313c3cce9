"""``pixelflow export diffusers``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli.arguments import CheckpointStep, RunPath, Weights
from pixelflow.system.terminal import tell


def export_diffusers(
    run: RunPath,
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to write.")],
    step: CheckpointStep = None,
    weights: Weights = "ema",
) -> None:
    """Write a run as a folder that diffusers opens, with the weights, a card and all code that it needs.

    DiffusionPipeline.from_pretrained("FOLDER", trust_remote_code=True) draws what Run.sample draws, bit for bit.
    """
    from pixelflow.hub.folder import write_folder
    from pixelflow.runs.runfolder import RunFolder
    from pixelflow.system.files import check_writable

    check_writable(target, "FOLDER")
    done = write_folder(RunFolder(run), target, step=step, weights=weights)
    tell(f'{target}: step {done.step}; DiffusionPipeline.from_pretrained("{target}", trust_remote_code=True)')
