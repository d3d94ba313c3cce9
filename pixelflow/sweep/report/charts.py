"""Which plots a sweep's results ask for."""

from __future__ import annotations

from collections.abc import Sequence

from pixelflow.sweep.report import plots
from pixelflow.sweep.report.plots import Labels, Mark, Series
from pixelflow.sweep.report.results import Column, Results

_MOST_NAMES = 12
"""Bars of more names could not be read."""


def course(results: Results) -> dict[str, str]:
    """Name -> plot of what a search found, trial after trial."""
    figure = results.objective
    if figure is None or not figure.known:
        return {}
    marks = [_mark(results, row, row + 1, figure) for row in _complete(results, figure)]
    labels = Labels(f"{figure.title}, and the best so far", "point")
    return {f"{figure.title} over trials": plots.course(labels, Series("", tuple(marks)), figure.better)}


def over_axes(results: Results) -> dict[str, str]:
    """Name -> plot of every main figure over every axis that varies."""
    drawn = {}
    for figure in results.main_figures:
        for axis in results.axes:
            plot = _over(results, figure, axis)
            if plot is not None:
                drawn[f"{figure.title} over {axis.title}"] = plot
    return drawn


def cost_against_quality(results: Results) -> dict[str, str]:
    """Name -> plot of every main figure against GMAC and seconds an image."""
    drawn = {}
    for figure in results.main_figures:
        for cost in results.costs[:2]:
            rows = _complete(results, figure, cost)
            if len({cost.values[row] for row in rows}) > 1:
                series = _series(results, rows, cost, figure, by=_colouring(results), joined=False)
                labels = Labels(f"{figure.title}, {_direction(figure)}", cost.title)
                drawn[f"{figure.title} against {cost.title}"] = plots.scatter(labels, series, figure.better)
    return drawn


def _over(results: Results, figure: Column, axis: Column) -> str | None:
    """Lines over numbers, bars over names, dots in a search; None where there is nothing to compare, or too much."""
    rows = _complete(results, figure, axis)
    names = list(dict.fromkeys(axis.text(row) for row in rows))
    if len(names) < 2:
        return None
    labels = Labels(f"{figure.title}, {_direction(figure)}", axis.title)
    found = [names.index(axis.text(row)) if row in rows else None for row in range(len(results.rows))]
    places = Column(axis.title, tuple(found))
    if results.search is not None:
        across, ticks = (axis, ()) if axis.is_numeric else (places, names)
        return plots.dots(labels, _series(results, rows, across, figure, _colouring(results), joined=False), ticks)
    by = [results.label(row, without=axis) for row in range(len(results.rows))]
    if axis.is_numeric:
        return plots.lines(labels, _series(results, rows, axis, figure, by, joined=True))
    if len(names) > _MOST_NAMES:
        return None
    return plots.bars(labels, names, _series(results, rows, places, figure, by, joined=True))


def _complete(results: Results, *columns: Column) -> list[int]:
    return [row for row in range(len(results.rows)) if all(column.values[row] is not None for column in columns)]


def _colouring(results: Results) -> list[str]:
    """What colours the points of a scatter plot: the first axis of names, else nothing."""
    rows = range(len(results.rows))
    named = [axis for axis in results.axes if not axis.is_numeric and not axis.is_constant]
    return [f"{named[0].title} {named[0].text(row)}" if named else "" for row in rows]


def _series(
    results: Results, rows: Sequence[int], x: Column, y: Column, by: Sequence[str], *, joined: bool
) -> list[Series]:
    """Marks by colour; where every colour would have one, they are one series, if they are to be `joined`."""
    groups: dict[str, list[Mark]] = {}
    for row in rows:
        across = x.values[row]
        assert isinstance(across, (int, float))
        groups.setdefault(by[row], []).append(_mark(results, row, across, y))
    if joined and all(len(marks) == 1 for marks in groups.values()):
        groups = {"": [mark for marks in groups.values() for mark in marks]}
    return [Series(name, tuple(sorted(marks, key=lambda mark: mark.x))) for name, marks in groups.items()]


def _mark(results: Results, row: int, across: float, figure: Column) -> Mark:
    value = figure.values[row]
    assert isinstance(value, (int, float))
    spread = f" ({figure.spread(row)})" if figure.interval(row) else ""
    label = f"#{row + 1}: {results.label(row)}: {figure.text(row)}{spread}"
    return Mark(across, value, label, str(row + 1), figure.interval(row))


def _direction(figure: Column) -> str:
    return "higher is better" if figure.better > 0 else "lower is better"
