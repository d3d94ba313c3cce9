"""Two runs side by side: the settings that differ, and their evaluations."""

from __future__ import annotations

import json
from typing import Any

from pixelflow.evaluation.records import figures
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.summary import differences, summary

Row = tuple[str, str, str]
"""What it is, of the first run, of the second."""

_WIDEST = 48
"""Characters of a value that are shown."""


def settings(first: RunFolder, second: RunFolder) -> list[Row]:
    """The settings that differ; raises SpecError for a spec that does not validate."""
    specs = (run.read_spec().model_dump(mode="json") for run in (first, second))
    return [(key, _told(one), _told(other)) for key, one, other in differences(*specs)]


def states(first: RunFolder, second: RunFolder) -> list[Row]:
    """How far they are and which classes they know, where that differs."""
    one, other = summary(first.path, first), summary(second.path, second)
    rows = [
        ("step", _told(one.step), _told(other.step)),
        ("loss", _told(one.loss), _told(other.loss)),
        ("classes", _told(list(first.classes)), _told(list(second.classes))),
    ]
    return [row for row in rows if row[1] != row[2]]


def evaluations(first: RunFolder, second: RunFolder) -> list[Row]:
    """A row for each figure that either run has; see `figures`."""
    ours, theirs = figures(first.evaluations), figures(second.evaluations)
    return [(name, _told(ours.get(name)), _told(theirs.get(name))) for name in dict.fromkeys([*ours, *theirs])]


def _told(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
