"""Plots as SVG text: lines, bars and scattered points. Self-contained, readable without colour, titled for pointers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 18, 34, 46
_LINE = 16
"""Height of a line of the legend."""
_COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#64473a", "#cb912f", "#787774")
_LOGARITHMIC = 12.0
"""Axes whose largest value is so many times the smallest are logarithmic."""


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


@dataclass(frozen=True)
class _Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool

    def __call__(self, value: float) -> float:
        low, high, value = (math.log(one) if self.is_log else one for one in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values within the range, about five."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            all_ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
            inside = [tick for tick in all_ticks if self.low * 0.999 <= tick <= self.high * 1.001]
            tens = [tick for tick in inside if math.log10(tick) == round(math.log10(tick))]
            return tens if len(inside) > 9 else inside
        step = _round_step((self.high - self.low) / 5)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= raw * 0.999)


def _scale(values: Sequence[float], start: float, end: float, *, from_zero: bool = False) -> _Scale:
    low, high = min(values), max(values)
    if from_zero:
        low, high = min(0.0, low) * 1.05, max(0.0, high) * 1.05
        return _Scale(low, high if high > low else low + 1, start, end, False)
    if low > 0 and high / low >= _LOGARITHMIC:
        room = (high / low) ** 0.05
        return _Scale(low / room, high * room, start, end, True)
    room = (high - low) * 0.07 or abs(high) * 0.1 or 1.0
    return _Scale(low - room, high + room, start, end, False)


def lines(labels: Labels, series: Sequence[Series]) -> str:
    """Values against a number; each series is a line."""
    x, y = _scales(series)
    places = sorted({mark.x for one in series for mark in one.marks})
    ticks = places if len(places) <= 8 else x.ticks()
    body = []
    for one, colour in _coloured(series):
        route = " ".join(f"{x(mark.x):.1f},{y(mark.y):.1f}" for mark in one.marks)
        body.append(f'<polyline points="{route}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += _dots(one, x, y, colour)
    return _framed(labels, [(x(tick), f"{tick:g}") for tick in ticks], y, body, _legend(series))


def dots(labels: Labels, series: Sequence[Series], names: Sequence[str] = ()) -> str:
    """Values against a number, or against names in whose places the marks lie."""
    x, y = _scales(series)
    if names:
        x = _Scale(-0.5, len(names) - 0.5, _LEFT, WIDTH - _RIGHT, False)
    ticks = list(enumerate(names)) if names else [(tick, f"{tick:g}") for tick in x.ticks()]
    body = [drawn for one, colour in _coloured(series) for drawn in _dots(one, x, y, colour)]
    return _framed(labels, [(x(tick), name) for tick, name in ticks], y, body, _legend(series))


def bars(labels: Labels, names: Sequence[str], series: Sequence[Series]) -> str:
    """Values of named groups; a mark's x is the place of its group's name, each series has a bar in it."""
    y = _scale(_extents(series), HEIGHT - _BOTTOM, _TOP, from_zero=True)
    room = (WIDTH - _LEFT - _RIGHT) / len(names)
    width = min(46.0, room * 0.8 / len(series))
    body = []
    for index, (one, colour) in enumerate(_coloured(series)):
        for mark in one.marks:
            left = _LEFT + room * (mark.x + 0.5) + width * (index - len(series) / 2)
            top, bottom = sorted((y(mark.y), y(0)))
            body.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{width - 1:.1f}" height="{bottom - top:.1f}" '
                f'fill="{colour}"><title>{escape(mark.label)}</title></rect>'
            )
            body += _whiskers(mark, left + (width - 1) / 2, y, "#37352f")
    ticks = [(_LEFT + room * (place + 0.5), name) for place, name in enumerate(names)]
    return _framed(labels, ticks, y, body, _legend(series))


def scatter(labels: Labels, series: Sequence[Series], better: int) -> str:
    """Quality against cost, with a dashed line through the points that no cheaper one beats."""
    x, y = _scales(series)
    marks = sorted((mark for one in series for mark in one.marks), key=lambda mark: (mark.x, -better * mark.y))
    route = " ".join(f"{x(mark.x):.1f},{y(mark.y):.1f}" for mark in _front(marks, better))
    body = [f'<polyline points="{route}" fill="none" stroke="#9b9a97" stroke-dasharray="4 3"/>']
    for one, colour in _coloured(series):
        body += _dots(one, x, y, colour)
        for mark in one.marks:
            body.append(
                f'<text x="{x(mark.x) + 6:.1f}" y="{y(mark.y) - 5:.1f}" fill="#787774">{escape(mark.tag)}</text>'
            )
    return _framed(labels, [(x(tick), f"{tick:g}") for tick in x.ticks()], y, body, _legend(series))


def course(labels: Labels, series: Series, better: int) -> str:
    """Values one after the other, and a line that holds the best so far."""
    across = [mark.x for mark in series.marks]
    x = _Scale(min(across) - 0.5, max(across) + 0.5, _LEFT, WIDTH - _RIGHT, False)
    _, y = _scales([series])
    best = list(_front(series.marks, better))
    route = [(best[0].x, best[0].y)]
    for before, after in itertools.pairwise(best):
        route += [(after.x, before.y), (after.x, after.y)]
    route.append((across[-1], best[-1].y))
    points = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in route)
    body = [f'<polyline points="{points}" fill="none" stroke="{_COLOURS[1]}" stroke-width="2"/>']
    body += _dots(series, x, y, _COLOURS[0])
    return _framed(labels, [(x(tick), f"{tick:g}") for tick in x.ticks() if tick == int(tick)], y, body, [])


def _front(marks: Sequence[Mark], better: int) -> Iterator[Mark]:
    best = -math.inf
    for mark in marks:
        if better * mark.y > best:
            best = better * mark.y
            yield mark


def _scales(series: Sequence[Series]) -> tuple[_Scale, _Scale]:
    across = _scale([mark.x for one in series for mark in one.marks], _LEFT, WIDTH - _RIGHT)
    return across, _scale(_extents(series), HEIGHT - _BOTTOM, _TOP)


def _extents(series: Sequence[Series]) -> list[float]:
    return [value for one in series for mark in one.marks for value in mark.extent]


def _coloured(series: Sequence[Series]) -> Iterator[tuple[Series, str]]:
    for index, one in enumerate(series):
        yield one, _COLOURS[index % len(_COLOURS)]


def _dots(series: Series, x: _Scale, y: _Scale, colour: str) -> list[str]:
    drawn = []
    for mark in series.marks:
        drawn += [*_whiskers(mark, x(mark.x), y, colour), _dot(mark, x, y, colour)]
    return drawn


def _dot(mark: Mark, x: _Scale, y: _Scale, colour: str) -> str:
    place = f'cx="{x(mark.x):.1f}" cy="{y(mark.y):.1f}"'
    return f'<circle {place} r="4" fill="{colour}" stroke="#fff"><title>{escape(mark.label)}</title></circle>'


def _whiskers(mark: Mark, place: float, y: _Scale, colour: str) -> list[str]:
    """The error bar of a mark, if it has one."""
    if mark.interval is None:
        return []
    low, high = (f"{y(end):.1f}" for end in mark.interval)
    path = f"M{place:.1f} {low}V{high}M{place - 3:.1f} {low}h6M{place - 3:.1f} {high}h6"
    return [f'<path d="{path}" stroke="{colour}" stroke-opacity="0.6" fill="none"/>']


def _legend(series: Sequence[Series]) -> list[str]:
    """Two columns below the plot; none for a single series, or for more than there are colours."""
    if not 1 < len(series) <= len(_COLOURS):
        return []
    entries = []
    for index, (one, colour) in enumerate(_coloured(series)):
        left, top = _LEFT + (index % 2) * (WIDTH - _LEFT) // 2, HEIGHT + (index // 2) * _LINE
        entries.append(f'<rect x="{left}" y="{top}" width="10" height="10" rx="2" fill="{colour}"/>')
        entries.append(f'<text x="{left + 15}" y="{top + 9}">{escape(_cut(one.label, 32))}</text>')
    return entries


def _framed(
    labels: Labels, ticks: Sequence[tuple[float, str]], y: _Scale, body: Sequence[str], legend: Sequence[str]
) -> str:
    """The whole picture: title, axes, ticks of both, what is plotted, legend."""
    height = HEIGHT + (len(legend) + 3) // 4 * _LINE
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    widest = max(4, int(1.1 * (right - _LEFT) / max(1, len(ticks)) / 6.2))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#37352f">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" font-size="13" font-weight="600">{escape(labels.title)}</text>',
    ]
    for tick in y.ticks():
        parts.append(f'<path d="M{_LEFT} {y(tick):.1f}H{right}" stroke="#ebeae8"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#9b9a97"/>')
    for place, name in ticks:
        parts.append(f'<path d="M{place:.1f} {bottom}v4" stroke="#9b9a97"/>')
        parts.append(
            f'<text x="{place:.1f}" y="{bottom + 16}" text-anchor="middle">{escape(_cut(name, widest))}</text>'
        )
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{bottom + 34}" text-anchor="middle">{escape(labels.x)}</text>')
    return "\n".join([*parts, *body, *legend, "</svg>"])


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
