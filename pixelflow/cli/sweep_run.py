"""``pixelflow sweep run``."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from pixelflow.cli import completing
from pixelflow.system.tables import duration, percent, quantity, table
from pixelflow.system.terminal import say, tell

if TYPE_CHECKING:
    from pixelflow.sweep.executors import Executor
    from pixelflow.sweep.points.search import Search
    from pixelflow.sweep.points.settings import SweepSettings
    from pixelflow.sweep.work.forecast import Forecast


def sweep_run(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A sweep file, or the name of one that comes with pixelflow, e.g. digits_table3a.",
            autocompletion=completing.sweeps,
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the points and what they cost; do nothing.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Workers at a time; by default as the executor has it.")
    ] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="local|ray|slurm", help="Where they run; or a block, {type: ray, cpus: 4}.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of all sweeps.")] = Path("sweeps"),
) -> None:
    """Train, sample and evaluate every point of a sweep file, and write a report.

    Points that differ only in sampling or evaluation share one training. What is finished is found by its content and
    never repeated: the same command goes on after a stop, and does only what is new after a change of the file.
    """
    from pixelflow.core import shipped
    from pixelflow.sweep.points.plan import FILE, Plan
    from pixelflow.sweep.points.points import read_sweep
    from pixelflow.sweep.work.crew import run
    from pixelflow.sweep.work.forecast import forecast

    sweep = read_sweep(shipped.found(file))
    plan = Plan.of(*sweep)
    folder = out / plan.name
    if dry_run and sweep.search:
        tell(*_space(sweep.search).split("\n"))
        tell(*_shown(forecast(Plan.of(sweep.settings, sweep.points), folder), "ends of the ranges").split("\n"))
        return
    if dry_run:
        tell(*_shown(forecast(plan, folder), "points").split("\n"))
        return
    from pixelflow.sweep.report.report import write_report

    carrier = _executor(sweep.settings, executor, workers)
    try:
        with _stopped_by_sigterm(folder):
            run(plan, folder, carrier, say)
    finally:
        if (folder / FILE).is_file():
            page = write_report(Plan.read(folder), folder)
    tell(str(page))


@contextmanager
def _stopped_by_sigterm(folder: Path) -> Iterator[None]:
    """Within, SIGTERM raises PreemptedError: workers are then told to stop, and the report is written."""
    from pixelflow.system.errors import PreemptedError

    def stop(number: int, frame: FrameType | None) -> None:
        raise PreemptedError(f"{folder}: stopped; the same command goes on")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _executor(settings: SweepSettings, wanted: str | None, workers: int | None) -> Executor:
    """The file's executor with what the command line changes; raises SpecError."""
    from pixelflow.core import reading
    from pixelflow.sweep.points.settings import ExecutorSettings

    if wanted is None or wanted == settings.executor.type:
        chosen: Executor = settings.executor
    else:
        block = {"executor": reading.parse_value(wanted, "--executor")}
        chosen = reading.validate(ExecutorSettings, reading.Document("--executor", block)).executor
    return chosen if workers is None else chosen.model_copy(update={"workers": workers})


def _space(search: Search) -> str:
    """What a search is for and what it varies; its points are not known before it runs."""
    from pixelflow.sweep.points.space import described

    rows = [(key, described(parameter)) for key, parameter in search.parameters.items()]
    aim = f"{search.trials} trials by {search.sampler}, to {search.objective.direction} {search.objective.title} over"
    return f"{aim}\n{table(rows)}\n"


def _shown(points: list[Forecast], what: str) -> str:
    from pixelflow.sweep.work.forecast import SHARE, peak

    rows = [("point", "parameters", "GMAC/image", "PFLOP to train", "to do", "time")]
    rows += [
        (
            point.label,
            quantity(point.cell.cost.parameters),
            "~" * point.cell.cost.is_estimate + _amount(point.cell.cost.sample_macs / 1e9),
            _amount(point.cell.cost.training_flop / 1e15),
            " + ".join(["train"] * point.trains + ["evaluate"] * (not point.is_done)) or "done",
            "~" * point.is_guess + duration(point.seconds) if point.seconds else "",
        )
        for point in points
    ]
    trainings = [point for point in points if point.trains]
    lines = [
        table(rows, indent=""),
        "",
        f"{len(points)} {what}; to do: {len(trainings)} training{'s' * (len(trainings) != 1)} of "
        f"{_amount(sum(point.cell.cost.training_flop for point in trainings) / 1e15)} PFLOP in all, "
        f"{sum(not point.is_done for point in points)} evaluations",
    ]
    seconds = sum(point.seconds for point in points)
    if seconds:
        whose = "" if what == "points" else " of these"
        lines.append(f"expected{whose}: {duration(seconds)} of one worker's time")
    if any(point.is_guess for point in points):
        lines.append(
            f"~ time: guessed at {percent(SHARE)} of this machine's peak of {quantity(peak(), 'FLOP/s')}; "
            "once parts are done, it is told by their speed"
        )
    if any(point.cell.cost.is_estimate for point in points):
        lines.append("~ GMAC: the sampler chooses its own steps; estimated from Gaussian pixels")
    return "\n".join(lines)


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
