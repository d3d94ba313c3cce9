"""``pixelflow ui``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli.arguments import Device


def ui(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="The folder of runs.")] = Path("runs"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of the address; by default the first free one from 7860 on.")
    ] = None,
    device: Device = None,
) -> None:
    """Show a page in the browser: sample, compare, watch, train and edit. It is served to this machine alone."""
    from pixelflow.ui.page import serve

    serve(folder, port, device)
