"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pixelflow.cli import completing

if TYPE_CHECKING:
    from pixelflow.core.spec import ExperimentSpec


def _step(text: str) -> int | Literal["best"]:
    if text != "best" and not text.isdecimal():
        raise typer.BadParameter(f"{text!r} is neither a number nor best")
    return "best" if text == "best" else int(text)


MOST_IMAGES = 10_000_000
"""That one command draws: each has a record of its own in memory."""
LAST_SEED = 2**62

SpecFile = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC",
        help="A spec's file, or the name of one that comes with pixelflow, e.g. digits.",
        autocompletion=completing.specs,
    ),
]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, e.g. runs/digits.", autocompletion=completing.runs)
]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes, e.g. training.steps=100.")]
SamplingOverrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Changes to the spec, e.g. sampling.batch_size=8, or only batch_size=8."),
]
CheckpointStep = Annotated[
    Any,
    typer.Option("--step", parser=_step, metavar="N|best", help="Step of the checkpoint; by default the newest."),
]
Weights = Annotated[
    str,
    typer.Option(
        metavar="ema|raw|LENGTH",
        help="The averaged weights, those that the optimizer left, or an average by its length.",
        autocompletion=completing.choices(("ema", "raw")),
    ),
]
Device = Annotated[str | None, typer.Option(help="A torch device; by default the first GPU, else the CPU.")]
Steps = Annotated[str | None, typer.Option(help="Steps of each stage: one number or several, e.g. 10,20.")]
Sampler = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|BLOCK",
        help="The solver, e.g. euler or {type: dopri5, rtol: 1e-3}.",
        autocompletion=completing.components("sampler"),
    ),
]
Guidance = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|BLOCK",
        help="The guidance, or its scale: one number, or one a stage.",
        autocompletion=completing.components("guidance"),
    ),
]
Grid = Annotated[
    str | None,
    typer.Option(metavar="NAME|BLOCK", help="The solver's time grid.", autocompletion=completing.components("grid")),
]
SamplingSettings = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="Settings of sampling that pixelflow tune has found."),
]
Rewriter = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|BLOCK",
        help="Rewrites the captions first, e.g. instruct.",
        autocompletion=completing.components("rewriter"),
    ),
]


def read_spec(path: Path, overrides: list[str] | None, run: str | None = None) -> ExperimentSpec:
    """See `pixelflow.core.spec_files.read_spec`."""
    from pixelflow.core.spec_files import read_spec

    return read_spec(path, overrides or (), run)
