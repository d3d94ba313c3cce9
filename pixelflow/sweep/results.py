"""What a sweep has found, as rows (points) and columns (what varies, what was measured, what it cost)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelflow.sweep.plan import Cell, Plan, Planned, short, shown
from pixelflow.sweep.points import value_at
from pixelflow.sweep.tasks import Evaluation, cells_of, tasks_of

Value = float | str | None


@dataclass(frozen=True)
class Row:
    """One point."""

    number: int
    point: Planned
    cell: Cell
    seconds_per_image: float | None
    results: list[dict[str, Any]]
    """Of one metric each, as `Measurement.measure` gives them; empty where the point is not done."""
    failure: str | None
    images: Path


@dataclass(frozen=True)
class Column:
    """One quantity of every point."""

    title: str
    values: tuple[Value, ...]
    better: int = 0
    """1 where higher is better, -1 where lower is, 0 where neither."""

    @property
    def is_numeric(self) -> bool:
        return any(isinstance(value, (int, float)) for value in self.values) and not any(
            isinstance(value, str) for value in self.values
        )

    @property
    def known(self) -> list[int]:
        """Rows that have a value."""
        return [row for row, value in enumerate(self.values) if value is not None]

    @property
    def is_constant(self) -> bool:
        """Whether there is nothing to compare: the same value wherever there is one, and in more than one row."""
        known = self.known
        return len(known) > 1 and len({self.values[row] for row in known}) == 1

    def is_best(self, row: int) -> bool:
        value = self.values[row]
        numbers = [self.better * other for other in self.values if isinstance(other, (int, float))]
        return bool(self.better) and isinstance(value, (int, float)) and self.better * value == max(numbers)

    def text(self, row: int) -> str:
        value = self.values[row]
        if isinstance(value, float):
            return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
        return "" if value is None else str(value)


@dataclass(frozen=True)
class Results:
    """All of a sweep's points."""

    name: str
    rows: tuple[Row, ...]
    axes: tuple[Column, ...]
    """What varies."""
    figures: tuple[Column, ...]
    """All that was measured of the images."""
    costs: tuple[Column, ...]
    """GMAC and seconds an image, then what training costs."""
    trainings: int

    @property
    def columns(self) -> tuple[Column, ...]:
        return (*self.axes, *self.figures, *self.costs)

    @property
    def main_figures(self) -> list[Column]:
        """Of each metric the one that says which point is best, if there is a difference."""
        return [figure for figure in self.figures if figure.better and not figure.is_constant]

    def label(self, row: int, without: Column | None = None) -> str:
        """The row's place on all axes, or on all but one."""
        return ", ".join(f"{axis.title} {axis.text(row)}" for axis in self.axes if axis is not without)


def read_results(plan: Plan, folder: Path) -> Results:
    """What is there of a sweep's results; raises DataError where a result is damaged."""
    cells = cells_of(tasks_of(plan, folder))
    rows = [_row(number, point, cells[point.cell]) for number, point in enumerate(plan.points, start=1)]
    dumps = [row.cell.spec.model_dump(mode="json") for row in rows]
    axes = [
        Column(short(key), tuple(_axis_value(row.point, dump, key) for row, dump in zip(rows, dumps, strict=True)))
        for key in plan.axes
    ]
    return Results(plan.name, tuple(rows), tuple(axes), tuple(_figures(rows)), tuple(_costs(rows)), len(plan.trainings))


def _row(number: int, point: Planned, task: Evaluation) -> Row:
    result = task.result if task.is_done else {"seconds_per_image": None, "results": []}
    return Row(number, point, task.cell, result["seconds_per_image"], result["results"], task.failure, task.images)


def _axis_value(point: Planned, dump: Any, key: str) -> Value:
    """The point's own value, else the base's."""
    value = point.changes[key] if key in point.changes else value_at(dump, key)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else value and shown(value)


def _figures(rows: Sequence[Row]) -> list[Column]:
    """A column for every figure of every metric, in the order in which they are first met."""
    several = len({one["metric"] for row in rows for one in row.results}) > 1
    named: dict[tuple[str, str], int] = {}
    for row in rows:
        for one in row.results:
            for place, name in enumerate(one["values"]):
                named.setdefault((one["metric"], name), 0 if place else 1 if one["higher_is_better"] else -1)
    columns = []
    for (metric, name), better in named.items():
        title = name.replace("_", " ") if not several else f"{metric}: {name.replace('_', ' ')}"
        columns.append(Column(title, tuple(_figure(row, metric, name) for row in rows), better))
    return columns


def _figure(row: Row, metric: str, name: str) -> float | None:
    return next((one["values"].get(name) for one in row.results if one["metric"] == metric), None)


def _costs(rows: Sequence[Row]) -> list[Column]:
    return [
        Column("GMAC per image", tuple(row.cell.cost.sample_macs / 1e9 for row in rows)),
        Column("seconds per image", tuple(row.seconds_per_image for row in rows)),
        Column("training PFLOP", tuple(row.cell.cost.training_flop / 1e15 for row in rows)),
        Column("million parameters", tuple(row.cell.cost.parameters / 1e6 for row in rows)),
    ]
