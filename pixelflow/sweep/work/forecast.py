"""What is left of a sweep to do, and how long it will take: at the measured speed of what is done, or at a guess."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pixelflow.costs.planning import FLOP_PER_MAC
from pixelflow.costs.speed import matmul_peak
from pixelflow.sweep.points.plan import Cell, Plan
from pixelflow.sweep.work.tasks import Evaluation, Training, tasks_of
from pixelflow.system.device import choose_device

SHARE = 0.3
"""Of the device's matrix-multiply peak, that work is guessed to make use of before any of it is measured."""


@dataclass(frozen=True)
class Rates:
    """FLOP/s of one worker, measured in finished tasks; None where none is."""

    training: float | None
    sampling: float | None


@dataclass(frozen=True)
class Forecast:
    """What one point still asks for."""

    label: str
    cell: Cell
    is_done: bool
    trains: bool
    """Whether it is the first point to need a training that is not done."""
    seconds: float
    """Of one worker."""
    is_guess: bool
    """Whether a rate of them is not measured."""


def measured_rates(plan: Plan, folder: Path) -> Rates:
    """Medians over the finished tasks in the sweep's folder."""
    cells = {cell.training: cell for cell in plan.cells.values()}
    training, sampling = [], []
    for task in tasks_of(plan, folder):
        if not task.is_done:
            continue
        if isinstance(task, Training):
            settings, flop = task.spec.training, cells[task.folder.name].cost.training_flop
            training.append(flop / settings.steps / settings.batch_size * task.result["images_per_second"])
        elif isinstance(task, Evaluation) and task.result["seconds_per_image"]:
            macs = task.result.get("macs_per_image") or task.cell.cost.sample_macs
            sampling.append(macs * FLOP_PER_MAC / task.result["seconds_per_image"])
    return Rates(_median(training), _median(sampling))


@cache
def peak() -> float:
    """FLOP/s of the best matrix product on the device that a worker would choose here."""
    device = choose_device(None)
    return matmul_peak("float32" if device.type == "cpu" else "bfloat16", device)


def forecast(plan: Plan, folder: Path) -> list[Forecast]:
    """Every point, in order; a training shared by several counts with the first, and equal points count once."""
    rates = measured_rates(plan, folder)
    tasks = {(type(task), task.folder.name): task for task in tasks_of(plan, folder)}
    seen: set[str] = set()
    points = []
    for point in plan.points:
        cell = plan.cells[point.cell]
        training = tasks.get((Training, cell.training))  # none where the run is there already
        trains = training is not None and cell.training not in seen and not training.is_done
        is_done = point.cell in seen or tasks[Evaluation, point.cell].is_done
        seen |= {point.cell, cell.training}
        work = [(cell.cost.training_flop, rates.training)] * trains
        work += [(cell.cost.sample_macs * FLOP_PER_MAC * cell.spec.evaluation.images, rates.sampling)] * (not is_done)
        seconds = sum(flop / (rate or SHARE * peak()) for flop, rate in work)
        points.append(Forecast(point.label, cell, is_done, trains, seconds, any(rate is None for _, rate in work)))
    return points


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.median(found) if found else None
