"""Two runs side by side: the settings that differ, and their evaluations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pixelflow.evaluation.records import Figure, figures
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
    """A row for each figure that either run has, and each way in which it was measured; see `figures`.

    Figures of other references, samplers and so on stand in rows of their own, which say what is other. Where they are
    of different training steps, they name these.
    """
    ours, theirs = figures(first.evaluations), figures(second.evaluations)
    ways: dict[str, list[dict[str, str]]] = {}
    for name, how in dict.fromkeys([*ours, *theirs]):
        ways.setdefault(name, []).append(dict(how))
    return [
        (f"{name}{_apart(way, own)}", *_pair(ours.get((name, how)), theirs.get((name, how))))
        for name, own in ways.items()
        for way in own
        for how in [tuple(way.items())]
    ]


def _pair(one: Figure | None, other: Figure | None) -> tuple[str, str]:
    """Two figures, with their steps where these differ."""
    is_alike = one is None or other is None or one.step == other.step
    first, second = (
        _told(None) if own is None else _told(own.value) + ("" if is_alike else f" at {own.step}")
        for own in (one, other)
    )
    return first, second


def _apart(way: Mapping[str, str], ways: Sequence[Mapping[str, str]]) -> str:
    """What tells one way of measuring from the others."""
    keys = [key for key in way if len({other.get(key) for other in ways}) > 1]
    return f", {', '.join(f'{key} {way[key]}' for key in keys)}" if keys else ""


def _told(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
