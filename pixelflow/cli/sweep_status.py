"""``pixelflow sweep status``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelflow.system.tables import table
from pixelflow.system.terminal import tell

if TYPE_CHECKING:
    from pixelflow.sweep.work.task import Task


def sweep_status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A sweep's folder, e.g. sweeps/digits_steps.")],
) -> None:
    """Show how far a sweep is: its trainings and points, and why any of them failed."""
    from pixelflow.sweep.points.plan import Plan
    from pixelflow.sweep.work.tasks import Training, cells_of, tasks_of

    plan = Plan.read(folder)
    tasks = tasks_of(plan, folder)
    cells = cells_of(tasks)
    rows = [(task.what, _state(task)) for task in tasks if isinstance(task, Training)]
    rows += [(point.label, _state(cells[point.cell])) for point in plan.points]
    done = sum(task.is_done for task in tasks)
    widest = max(len(state) for _, state in rows)
    tell(*table([(what, state.ljust(widest)) for what, state in rows], indent="").split("\n"))
    tell("", f"{done} of {len(tasks)} tasks are done")
    for task in tasks:
        if task.failure is not None and task.is_ready:
            tell(f"{task.what}: {task.failure} (see {task.log})")


def _state(task: Task) -> str:
    """``done``, or ``running, step 1,200 of 2,500``."""
    state = task.state.value
    return f"{state}, {task.progress}" if state in ("running", "open") and task.progress else state
