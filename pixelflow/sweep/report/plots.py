"""Plots as SVG text: lines, bars and scattered points; whoever points at a value reads what it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from pixelflow.system.plotting import COLOURS, INK, QUIET, drawing, is_wide, svg

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

WIDTH, HEIGHT = 5.0, 3.2
"""Inches."""
_LINE = 0.19
"""Height of a line of the legend, in inches."""
_MOST_TICKS = 8


@dataclass(frozen=True)
class Mark:
    """One value of a plot."""

    x: float
    y: float
    label: str
    """Shown when pointed at."""
    tag: str = ""
    """Written beside it."""
    interval: tuple[float, float] | None = None
    """Ends of y's error bar."""

    @property
    def extent(self) -> tuple[float, ...]:
        """Values of y that must fit into the plot."""
        return (self.y, *(self.interval or ()))


@dataclass(frozen=True)
class Series:
    """Marks of one colour."""

    label: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Labels:
    """Words of a plot."""

    title: str
    """What is plotted: the upright axis."""
    x: str


@dataclass
class _Plot:
    """A plot that is being drawn."""

    axes: Axes
    told: list[str] = field(default_factory=list)
    """What is shown of each mark when it is pointed at."""
    text: str = ""
    """The whole as SVG, once it is drawn."""

    def name(self, artist: Artist, mark: Mark) -> None:
        """Let an artist show a mark's label."""
        artist.set_gid(f"mark-{len(self.told)}")
        self.told.append(mark.label)

    def dots(self, series: Series, colour: str) -> None:
        """The marks of a series with their error bars."""
        for mark in series.marks:
            self.whiskers(mark, mark.x, colour)
            (dot,) = self.axes.plot(mark.x, mark.y, "o", color=colour, markersize=6, markeredgecolor="white", zorder=3)
            self.name(dot, mark)

    def whiskers(self, mark: Mark, x: float, colour: str) -> None:
        """The error bar of a mark, if it has one; it need not lie around the value."""
        if mark.interval is not None:
            low, high = mark.interval
            self.axes.errorbar(x, (low + high) / 2, (high - low) / 2, color=colour, alpha=0.6, capsize=3, linewidth=1)

    def with_titles(self, drawn: str) -> str:
        """SVG in which every mark has its label."""
        for index, label in enumerate(self.told):
            group = f'<g id="mark-{index}">'
            drawn = drawn.replace(group, f"{group}<title>{escape(label)}</title>")
        return drawn


@contextmanager
def _plotted(labels: Labels, series: Sequence[Series]) -> Iterator[_Plot]:
    """A plot with its title, axis and legend: below it, for several series that colours can tell apart."""
    shown = series if 1 < len(series) <= len(COLOURS) else []
    with drawing(WIDTH, HEIGHT + _LINE * math.ceil(len(shown) / 2)) as (figure, axes):
        plot = _Plot(axes)
        yield plot
        axes.set_title(labels.title)
        axes.set_xlabel(labels.x)
        if shown:
            from matplotlib.patches import Patch

            patches = [Patch(color=colour, label=_cut(one.label, 36)) for one, colour in _coloured(series)]
            figure.legend(handles=patches, loc="outside lower center", ncols=2)
        plot.text = plot.with_titles(svg(figure))


def lines(labels: Labels, series: Sequence[Series]) -> str:
    """Values against a number; each series is a line."""
    with _plotted(labels, series) as plot:
        _scale(plot.axes, series)
        for one, colour in _coloured(series):
            plot.axes.plot([mark.x for mark in one.marks], [mark.y for mark in one.marks], color=colour, linewidth=2)
            plot.dots(one, colour)
    return plot.text


def dots(labels: Labels, series: Sequence[Series], names: Sequence[str] = ()) -> str:
    """Values against a number, or against names in whose places the marks lie."""
    with _plotted(labels, series) as plot:
        if names:
            _name_places(plot.axes, names)
        _scale(plot.axes, series, is_named=bool(names))
        for one, colour in _coloured(series):
            plot.dots(one, colour)
    return plot.text


def bars(labels: Labels, names: Sequence[str], series: Sequence[Series]) -> str:
    """Values of named groups; a mark's x is the place of its group's name, each series has a bar in it."""
    with _plotted(labels, series) as plot:
        _name_places(plot.axes, names)
        width = 0.8 / max(2, len(series))
        for index, (one, colour) in enumerate(_coloured(series)):
            for mark in one.marks:
                place = mark.x + width * (index - (len(series) - 1) / 2)
                (bar,) = plot.axes.bar(place, mark.y, width * 0.96, color=colour)
                plot.name(bar, mark)
                plot.whiskers(mark, place, INK)
    return plot.text


def scatter(labels: Labels, series: Sequence[Series], better: int) -> str:
    """Quality against cost, with a dashed line through the points that no cheaper one beats."""
    marks = sorted((mark for one in series for mark in one.marks), key=lambda mark: (mark.x, -better * mark.y))
    front = list(_front(marks, better))
    with _plotted(labels, series) as plot:
        _scale(plot.axes, series)
        plot.axes.plot(
            [mark.x for mark in front], [mark.y for mark in front], "--", color=QUIET, linewidth=1, gid="front"
        )
        for one, colour in _coloured(series):
            plot.dots(one, colour)
        for mark in marks:
            plot.axes.annotate(
                mark.tag, (mark.x, mark.y), (5, 4), textcoords="offset points", fontsize="x-small", color=QUIET
            )
    return plot.text


def course(labels: Labels, series: Series, better: int) -> str:
    """Values one after the other, and a line that holds the best so far."""
    from matplotlib.ticker import MaxNLocator

    best = list(_front(series.marks, better))
    across, heights = [mark.x for mark in best], [mark.y for mark in best]
    with _plotted(labels, [series]) as plot:
        _scale(plot.axes, [series], is_named=True)
        plot.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        last = max(mark.x for mark in series.marks)
        plot.axes.step(
            [*across, last], [*heights, heights[-1]], where="post", color=COLOURS[1], linewidth=2, gid="best"
        )
        plot.dots(series, COLOURS[0])
    return plot.text


def _front(marks: Sequence[Mark], better: int) -> Iterator[Mark]:
    best = -math.inf
    for mark in marks:
        if better * mark.y > best:
            best = better * mark.y
            yield mark


def _scale(axes: Axes, series: Sequence[Series], *, is_named: bool = False) -> None:
    """Logarithmic axes where values differ much; ticks below the values themselves where these are few."""
    across = sorted({mark.x for one in series for mark in one.marks})
    if is_wide([value for one in series for mark in one.marks for value in mark.extent]):
        axes.set_yscale("log")
        _label_powers(axes.yaxis)
    if is_named:
        return
    if is_wide(across):
        axes.set_xscale("log")
        _label_powers(axes.xaxis)
    if len(across) <= _MOST_TICKS:
        axes.set_xticks(across, [f"{value:.4g}" for value in across])
        axes.minorticks_off()


def _label_powers(axis: Axis) -> None:
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())


def _name_places(axes: Axes, names: Sequence[str]) -> None:
    widest = max(4, 70 // len(names))
    axes.set_xticks(range(len(names)), [_cut(name, widest) for name in names])
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.grid(visible=False, axis="x")


def _coloured(series: Sequence[Series]) -> Iterator[tuple[Series, str]]:
    for index, one in enumerate(series):
        yield one, COLOURS[index % len(COLOURS)]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
