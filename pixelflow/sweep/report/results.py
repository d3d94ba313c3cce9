"""What a sweep has found, as rows (points) and columns (what varies, what was measured, what it cost)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixelflow.generation.orders import WeightsSource
from pixelflow.runs.metric_result import MetricResult
from pixelflow.sweep.points.plan import Cell, Plan, Planned, short, shown
from pixelflow.sweep.points.points import value_at
from pixelflow.sweep.points.search import Search, SearchObjective
from pixelflow.sweep.work.tasks import Evaluation, cells_of, tasks_of

Value = float | str | None
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """One point."""

    number: int
    point: Planned
    cell: Cell
    seconds_per_image: float | None
    macs_per_image: float
    """Of the evaluations that were made; what the plan counts where that is not known."""
    results: list[MetricResult]
    """Of the metrics that did not fail; empty before any is had."""
    failure: str | None
    images: Path

    @property
    def is_estimate(self) -> bool:
        """Whether the sampler chose its own steps and `macs_per_image` was not counted."""
        return self.cell.cost.is_estimate and self.macs_per_image == self.cell.cost.sample_macs


@dataclass(frozen=True)
class Column:
    """One quantity of every point."""

    title: str
    values: tuple[Value, ...]
    better: int = 0
    """1 where higher is better, -1 where lower is, 0 where neither."""
    intervals: tuple[Interval, ...] = ()
    """95 % intervals of the values, where the evaluation has them."""
    is_searched: bool = False
    """Whether the search makes it best."""

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

    def best_of(self, rows: Iterable[int]) -> int | None:
        """The best of these rows, the first of equals; None without any."""
        numbers = {row: value for row in rows if isinstance(value := self.values[row], (int, float))}
        return max(numbers, key=lambda row: self.better * numbers[row], default=None)

    @property
    def has_intervals(self) -> bool:
        return any(self.intervals)

    def interval(self, row: int) -> Interval:
        return self.intervals[row] if self.intervals else None

    def text(self, row: int) -> str:
        value = self.values[row]
        if isinstance(value, float):
            return _short(value)
        return "" if value is None else str(value)

    def spread(self, row: int) -> str:
        """The interval as text, empty where there is none."""
        interval = self.interval(row)
        return "" if interval is None else f"{_short(interval[0])} to {_short(interval[1])}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


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
    run: str
    """The run that all points share and its step, where it was there already; else empty."""
    search: Search | None = None
    refused: Mapping[int, str] = field(default_factory=dict)
    """Trials of the search that are no points, and why."""

    @property
    def objective(self) -> Column | None:
        """What a search makes best, as soon as it has found something."""
        return next((figure for figure in self.figures if figure.is_searched), None)

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
    figures = _figures(rows, plan.search.objective if plan.search else None)
    return Results(
        plan.name,
        tuple(rows),
        tuple(axes),
        tuple(figures),
        tuple(_costs(rows)),
        len(plan.trainings),
        _shown_source(plan.run) if plan.run is not None else "",
        plan.search,
        plan.refused,
    )


def _shown_source(source: WeightsSource) -> str:
    """``runs/digits at step 600``; the path is shorter where it lies below the current directory."""
    path = Path(source.run)
    place = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{place} at step {source.step:,}" + (", raw weights" if source.weights == "raw" else "")


def _row(number: int, point: Planned, task: Evaluation) -> Row:
    result = task.measured
    macs = result.macs_per_image or task.cell.cost.sample_macs
    return Row(number, point, task.cell, result.seconds_per_image, macs, result.results, task.failure, task.images)


def _axis_value(point: Planned, dump: object, key: str) -> Value:
    """The point's own value, else the base's."""
    value = point.changes[key] if key in point.changes else value_at(dump, key)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return None if value is None else shown(value)


def _figures(rows: Sequence[Row], objective: SearchObjective | None) -> list[Column]:
    """A column for every figure of every metric, in the order in which they are first met."""
    several = len({one.metric for row in rows for one in row.results}) > 1
    named: dict[tuple[str, str], Column] = {}
    for row in rows:
        for one in row.results:
            for place, name in enumerate(one.values):
                if (one.metric, name) not in named:
                    title = name.replace("_", " ") if not several else f"{one.metric}: {name.replace('_', ' ')}"
                    named[one.metric, name] = _figure(rows, one, place, title, objective)
    return list(named.values())


def _figure(
    rows: Sequence[Row], example: MetricResult, place: int, title: str, objective: SearchObjective | None
) -> Column:
    """The figure at a place of the example's metric, in all rows."""
    name = list(example.values)[place]
    better = 0 if place else 1 if example.higher_is_better else -1
    is_searched = objective is not None and objective.is_at(example, place)
    if objective is not None and is_searched:
        better = 1 if objective.maximize else -1
    found = [next((one for one in row.results if one.metric == example.metric), None) for row in rows]
    values = tuple(one.values.get(name) if one else None for one in found)
    intervals = tuple(one.intervals.get(name) if one else None for one in found)
    return Column(title, values, better, intervals, is_searched)


def _costs(rows: Sequence[Row]) -> list[Column]:
    return [
        Column("GMAC per image", tuple(row.macs_per_image / 1e9 for row in rows)),
        Column("seconds per image", tuple(row.seconds_per_image for row in rows)),
        Column("training PFLOP", tuple(row.cell.cost.training_flop / 1e15 for row in rows)),
        Column("million parameters", tuple(row.cell.cost.parameters / 1e6 for row in rows)),
    ]
