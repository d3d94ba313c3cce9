"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from pixelflow.core.spec import ExperimentSpec


def _step(text: str) -> int | Literal["best"]:
    if text != "best" and not text.isdecimal():
        raise typer.BadParameter(f"{text!r} is neither a number nor best")
    return "best" if text == "best" else int(text)


SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A spec, e.g. specs/digits.yaml.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes, e.g. training.steps=100.")]
CheckpointStep = Annotated[
    Any,
    typer.Option("--step", parser=_step, metavar="N|best", help="Step of the checkpoint; by default the newest."),
]


def read_spec(path: Path, overrides: list[str] | None) -> ExperimentSpec:
    """The validated spec with overrides applied.

    Raises:
        MissingInputError: there is no such file.
        SpecError: a line for every problem.
    """
    from pixelflow.core import reading
    from pixelflow.core.spec import ExperimentSpec

    document = reading.override(reading.read_document(path), overrides or ())
    return reading.validate(ExperimentSpec, document)


def number(text: str | None) -> float | str | None:
    """An option that is a number or a name."""
    try:
        return text if text is None else float(text)
    except ValueError:
        return text
