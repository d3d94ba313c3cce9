"""``pixelflow diff``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelflow.cli import completing
from pixelflow.cli.tables import table
from pixelflow.system.terminal import tell

if TYPE_CHECKING:
    from pixelflow.runs.runfolder import RunFolder

_WIDEST = 48
"""Characters of a value that are shown."""


def diff(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", autocompletion=completing.runs)],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another one.", autocompletion=completing.runs)],
) -> None:
    """Show what tells two runs apart: settings, classes, how far they are, and their evaluations side by side."""
    from pixelflow.runs.runfolder import RunFolder
    from pixelflow.runs.summary import differences

    left, right = RunFolder(first), RunFolder(second)
    specs = [run.read_spec().model_dump(mode="json") for run in (left, right)]
    told = [
        ("settings", [(key, _told(a), _told(b)) for key, a, b in differences(*specs)]),
        ("state", [row for row in _states(left, right) if row[1] != row[2]]),
        ("evaluations", _evaluations(left, right)),
    ]
    for title, rows in told:
        tell(title if rows else f"{title}: no difference" if title != "evaluations" else "evaluations: none")
        if rows:
            tell(*table([("", str(first), str(second)), *rows]).split("\n"))


def _states(left: RunFolder, right: RunFolder) -> list[tuple[str, str, str]]:
    from pixelflow.runs.summary import summary

    one, other = summary(left.path), summary(right.path)
    return [
        ("step", _told(one.step), _told(other.step)),
        ("loss", _told(one.loss), _told(other.loss)),
        ("classes", _told(list(left.classes)), _told(list(right.classes))),
    ]


def _evaluations(left: RunFolder, right: RunFolder) -> list[tuple[str, str, str]]:
    """A row for each figure of each metric and number of images, where either run has it; the newest record counts."""
    from pixelflow.evaluation.records import figures

    ours, theirs = figures(left.evaluations), figures(right.evaluations)
    return [(name, _told(ours.get(name)), _told(theirs.get(name))) for name in dict.fromkeys([*ours, *theirs])]


def _told(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
