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
) -> None:
    """Write weights as one safetensors file, with spec, names of classes, step and which weights in its header."""
    import json

    from safetensors.torch import save

    from pixelflow.runs import checkpoint
    from pixelflow.runs.runfolder import RunFolder
    from pixelflow.runs.weights import part_of
    from pixelflow.system.files import check_free, write_bytes

    check_free(target, "FILE")
    folder, part = RunFolder(run), part_of(weights)
    found = checkpoint.load(folder.checkpoints, folder.step_of(step), [part])
    spec = folder.read_spec(to_draw=True).model_dump(mode="json")
    header = {
        "format": "pt",
        "spec": json.dumps(spec),
        "classes": json.dumps(folder.classes_at(found.step)),
        "step": str(found.step),
        "weights": weights,
    }
    write_bytes(target, save(found.tensors[part], header))
    tell(f"{target}: {weights} weights of step {found.step}, {len(found.tensors[part])} tensors")
