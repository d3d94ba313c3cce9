"""``pixelflow export-weights``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli.arguments import CheckpointStep, RunPath, Weights
from pixelflow.system.terminal import tell


def export_weights(
    run: RunPath,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The safetensors file to write.")],
    step: CheckpointStep = None,
    weights: Weights = "ema",
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Round to 16 bits, for half the size.")] = False,
) -> None:
    """Write weights as one safetensors file, with spec, names of classes, step and which weights in its header.

    pixelflow import FILE RUN makes a run of it again.
    """
    from pixelflow.runs.runfolder import RunFolder
    from pixelflow.runs.weight_file import TrainedWeights
    from pixelflow.system.files import check_free

    check_free(target, "FILE")
    folder = RunFolder(run)
    found = TrainedWeights.of(folder, folder.step_of(step), weights)
    (found.in_bfloat16 if bfloat16 else found).write(target)
    tell(f"{target}: {weights} weights of step {found.step}, {len(found.tensors)} tensors")
