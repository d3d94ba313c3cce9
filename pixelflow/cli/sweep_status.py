"""``pixelflow sweep status``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli.tables import table


def sweep_status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A sweep's folder, e.g. sweeps/digits_steps.")],
) -> None:
    """Show how far a sweep is: its trainings and points, and why any of them failed."""
    from pixelflow.sweep.plan import Plan
    from pixelflow.sweep.tasks import Training, cells_of, tasks_of

    plan = Plan.read(folder)
    tasks = tasks_of(plan, folder)
    cells = cells_of(tasks)
    rows = [(task.what, task.state.value, task.failure or "") for task in tasks if isinstance(task, Training)]
    rows += [(one.label, cells[one.cell].state.value, cells[one.cell].failure or "") for one in plan.points]
    done = sum(task.is_done for task in tasks)
    widest = max(len(state) for _, state, _ in rows)
    typer.echo(table([(what, state.ljust(widest)) for what, state, _ in rows], indent=""))
    typer.echo(f"\n{done} of {len(tasks)} tasks are done")
    for task in tasks:
        if task.failure is not None and task.is_ready:
            typer.echo(f"{task.what}: {task.failure} (see {task.log})")
