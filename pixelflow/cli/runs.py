"""``pixelflow runs``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelflow.system.tables import quantity, table
from pixelflow.system.terminal import tell

if TYPE_CHECKING:
    from pixelflow.runs.summary import Summary

_TITLES = ("run", "step", "loss", "last evaluation", "size")


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="The folder with the runs.")] = Path("runs"),
) -> None:
    """Show the runs in a folder: how far each is, its last loss and evaluation, its size on disk."""
    from pixelflow.runs.summary import summaries
    from pixelflow.system.errors import MissingInputError

    if not folder.is_dir():
        raise MissingInputError(f"{folder}: there is no such folder; pixelflow train makes runs in ./runs")
    found = summaries(folder)
    if not found:
        raise MissingInputError(f"{folder}: no folder in it is a run; pixelflow train makes one")
    tell(*table([_TITLES, *(_row(one) for one in found if not one.trouble)], indent="").split("\n"))
    for one in found:
        if one.trouble:
            tell(f"not readable, {quantity(one.size, 'B')}: {one.trouble}")


def _row(one: Summary) -> tuple[str, ...]:
    step = "none saved" if one.step is None else f"{one.step:,}"
    if one.steps:
        step += f" of {one.steps:,}"
    if one.is_training:
        step += ", training"
    evaluated = "" if one.evaluated is None else _evaluated(one)
    loss = "" if one.loss is None else f"{one.loss:.4f}"
    return one.path.name, step, loss, evaluated, quantity(one.size, "B")


def _evaluated(one: Summary) -> str:
    last = one.evaluated
    assert last is not None
    return f"{last.metric} {last.value:.4g} at {last.step:,}"
