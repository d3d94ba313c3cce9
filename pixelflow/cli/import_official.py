"""``pixelflow import-official``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.system.terminal import tell


def import_official(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The authors' folder: config.yaml and model.pt.")],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder to write.")],
    size: Annotated[
        int | None, typer.Option(min=1, metavar="PIXELS", help="Side of the images; by default the config's.")
    ] = None,
) -> None:
    """Make a run of weights that PixelFlow's authors (or their training script) published."""
    from pixelflow.official.exchange import import_release
    from pixelflow.system.files import check_writable

    check_writable(run, "RUN")
    done = import_release(source, run, size)
    tell(f"{done.path}: {done.weights} weights, {done.parameters:,} parameters, none missing, none left over")
