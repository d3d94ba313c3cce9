"""``pixelflow sweep report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.system.terminal import tell


def sweep_report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A sweep's folder, e.g. sweeps/digits_steps.")],
) -> None:
    """Write a sweep's report anew: report.html (one file, to be shown anywhere), report.md and report.csv."""
    from pixelflow.sweep.points.plan import Plan
    from pixelflow.sweep.report.report import write_report

    tell(str(write_report(Plan.read(folder), folder)))
