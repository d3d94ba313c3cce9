"""``pixelflow plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli import completing
from pixelflow.system.terminal import tell


def plot(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Runs' folders, e.g. runs/*.", autocompletion=completing.runs)
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="By default loss.png in the run; of several here, then -2 and so on."),
    ] = None,
) -> None:
    """Draw the losses of runs in one picture, with those of held-out images; of a single run by stage too.

    Nothing but a run's own loss.png is replaced.
    """
    from pixelflow.runs.runfolder import RunFolder
    from pixelflow.system.errors import MissingDependencyError
    from pixelflow.system.files import check_free, free_name
    from pixelflow.training import curves

    found = curves.courses([RunFolder(run).path for run in runs])
    if out is not None:
        check_free(out)
    target = out or (runs[0] / curves.PICTURE if len(runs) == 1 else free_name(Path(curves.PICTURE)))
    try:
        curves.plot(found, target)
    except ImportError as error:
        raise MissingDependencyError(f"plot needs the package matplotlib: pip install matplotlib ({error})") from None
    tell(str(target))
