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


def scale(text: str | None) -> float | list[float] | str | None:
    """A guidance as an option gives it: a number, several between commas (one a stage), or a name."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return text
    return numbers if len(numbers) > 1 else numbers[0]
