"""Draws the plots of docs/results/digits_table* anew, from the tables in their reports: python docs/figures/tables.py

The sweeps' own folders are not kept here. Their tables have four digits of every value, more than a plot shows.
"""

from __future__ import annotations

import re
from pathlib import Path

from pixelflow.sweep.report import charts
from pixelflow.sweep.report.report import _file_name
from pixelflow.sweep.report.results import Column, Interval, Results, Value

RESULTS = Path(__file__).parents[1] / "results"
COSTS = ("GMAC per image", "seconds per image", "training PFLOP", "million parameters")
_CELL = re.compile(r"\**([^*]*?)\**(?: \((\S+) to (\S+)\))?")


def read(report: Path) -> Results:
    """The columns of a report's table; of its rows only how many there are."""
    lines = [line.strip("| ").split(" | ") for line in report.read_text().splitlines() if line.startswith("|")]
    (_, *heads), _, *rows = lines
    columns = [_column(head, [row[place] for row in rows]) for place, head in enumerate(heads, start=1)]
    figures = [column for column in columns if column.better or ": " in column.title]
    costs = [column for column in columns if column.title in COSTS]
    axes = [column for column in columns if column not in (*figures, *costs)]
    places = tuple(rows)
    return Results(report.parent.name, places, tuple(axes), tuple(figures), tuple(costs), 1, "")  # type: ignore[arg-type]


def _column(head: str, cells: list[str]) -> Column:
    values: list[Value] = []
    intervals: list[Interval] = []
    for cell in cells:
        found = re.fullmatch(_CELL, cell)
        assert found is not None, cell
        text, low, high = found.groups()
        values.append(float(text) if re.fullmatch(r"[\d.]+", text) else text)
        intervals.append((float(low), float(high)) if low else None)
    better = 1 if "↑" in head else -1 if "↓" in head else 0
    shown = tuple(intervals) if any(intervals) else ()
    return Column(head.rstrip(" ↑↓"), tuple(values), better, shown)


def main() -> None:
    for report in sorted(RESULTS.glob("digits_table*/report.md")):
        results = read(report)
        for name, plot in (charts.over_axes(results) | charts.cost_against_quality(results)).items():
            file = report.with_name("report") / f"{_file_name(name)}.svg"
            assert file.is_file(), f"{file}: the report shows no such plot"
            file.write_text(plot)
            print(file.relative_to(RESULTS))


if __name__ == "__main__":
    main()
