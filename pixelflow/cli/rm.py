"""``pixelflow rm``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli import completing
from pixelflow.system.tables import quantity
from pixelflow.system.terminal import tell


def rm(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Runs' folders.", autocompletion=completing.runs)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove runs with all that is in them, after asking. What is no run, or is at work, is left alone."""
    from pixelflow.runs.runfolder import RunFolder
    from pixelflow.runs.summary import refuse_busy, summary
    from pixelflow.system.errors import UsageError
    from pixelflow.system.files import draft_of, remove, writing

    found = list({run.resolve(): RunFolder(run) for run in runs}.values())  # each once, however it is called
    for run in found:
        if run.path.is_symlink():
            raise UsageError(f"{run.path}: is a link; name the folder that it leads to, or remove the link itself")
        refuse_busy(run)
    for run in found:
        one = summary(run.path)
        step = "no checkpoint" if one.step is None else f"{one.step:,} steps"
        tell(f"{run.path}: {step}, {quantity(one.size, 'B')}")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to be asked; with --yes the runs are removed without a question")
        what = "this run" if len(found) == 1 else f"these {len(found)} runs"
        if _answer(f"Remove {what} for ever? [y/N] ") not in ("y", "yes"):
            tell("nothing was removed")
            return
    for run in found:
        refuse_busy(run)  # again, for an answer may take its time
        with writing(run.path):  # first out of sight, so that no half of it ever looks like a run
            remove(run.path.rename(draft_of(run.path)))
        tell(f"removed: {run.path}")


def _answer(question: str) -> str:
    try:
        return input(question).strip().lower()
    except EOFError:  # Ctrl-D
        return ""
