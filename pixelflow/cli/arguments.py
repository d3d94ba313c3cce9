"""Arguments that several commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from pixelflow.core.spec import ExperimentSpec


def _step(text: str) -> int | Literal["best"]:
    if text != "best" and not text.isdecimal():
        raise typer.BadParameter(f"{text!r} is neither a number nor best")
    return "best" if text == "best" else int(text)


MOST_IMAGES = 10_000_000
"""That one command draws: each has a record of its own in memory."""
LAST_SEED = 2**62

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A spec, e.g. specs/digits.yaml.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes, e.g. training.steps=100.")]
CheckpointStep = Annotated[
    Any,
    typer.Option("--step", parser=_step, metavar="N|best", help="Step of the checkpoint; by default the newest."),
]


def read_spec(path: Path, overrides: list[str] | None, run: str | None = None) -> ExperimentSpec:
    """The validated spec with overrides applied, and renamed if `run` is given.

    Raises:
        MissingInputError: there is no such file.
        SpecError: a line for every problem.
    """
    from pixelflow.core import reading
    from pixelflow.core.errors import SpecError
    from pixelflow.core.spec import ExperimentSpec

    document = reading.read_document(path)
    if isinstance(document.data, dict) and "base" in document.data and "cascade" not in document.data:
        raise SpecError(f"{path}: is a sweep of experiments; run it with  pixelflow sweep {path}")
    document = reading.override(document, overrides or ())
    if run is not None:
        document = reading.override(document, [f"name={json.dumps(run)}"], f"--run {run}")
    return reading.validate(ExperimentSpec, document)


def component(text: str | None, option: str) -> Any:
    """An option that is a component's name, a YAML block with its settings, a number (``nan`` and ``inf`` are two), or
    several between commas, one a stage.

    Raises:
        SpecError: it is not YAML.
    """
    from pixelflow.core import reading

    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return reading.parse_value(text, option)
    return numbers if len(numbers) > 1 else numbers[0]
