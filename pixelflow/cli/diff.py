"""``pixelflow diff``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli import completing
from pixelflow.system.tables import table
from pixelflow.system.terminal import tell


def diff(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", autocompletion=completing.runs)],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another one.", autocompletion=completing.runs)],
) -> None:
    """Show what tells two runs apart: settings, classes, how far they are, and their evaluations side by side."""
    from pixelflow.evaluation import contrast
    from pixelflow.runs.runfolder import RunFolder

    left, right = RunFolder(first), RunFolder(second)
    for title, rows, without in (
        ("settings", contrast.settings(left, right), "no difference"),
        ("state", contrast.states(left, right), "no difference"),
        ("evaluations", contrast.evaluations(left, right), "none"),
    ):
        tell(title if rows else f"{title}: {without}")
        if rows:
            tell(*table([("", str(first), str(second)), *rows]).split("\n"))
