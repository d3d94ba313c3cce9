"""``pixelflow train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli.arguments import Device, Overrides, SpecFile, read_spec
from pixelflow.system.terminal import tell


def train(
    spec: SpecFile,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    run: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the run; by default the spec's.")] = None,
    device: Device = None,
) -> None:
    """Train a spec, or go on with the run: the same command again continues where it stopped.

    With several GPUs:  torchrun --nproc-per-node 8 -m pixelflow -- train SPEC  (without -- torchrun takes --run for
    an option of its own)
    """
    from pixelflow.system.stopping import StopSignals

    with StopSignals() as signals:
        from pixelflow.system.distributed import joined
        from pixelflow.training.session import train as train_run

        wanted = read_spec(spec, overrides, run)
        with joined(device) as world:
            finished = train_run(wanted, out / wanted.name, world, signals)
            if world.is_first:
                tell(str(finished.path))
