"""Plots put every value where its axis says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.sweep.report import plots
from pixelflow.sweep.report.plots import Labels, Mark, Series

LABELS = Labels("distance <&>", "steps")
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def series(*groups):
    return [
        Series(f"series {index}", tuple(Mark(x, y, f"{x} {y}", "1") for x, y in group))
        for index, group in enumerate(groups)
    ]


def places(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([-\d.]+)" cy="([-\d.]+)"', svg)]


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12))
def test_every_mark_is_inside_and_in_order(values):
    for svg in (plots.lines(LABELS, series(values)), plots.scatter(LABELS, series(values), -1)):
        ET.fromstring(svg)
        found = places(svg)
        assert len(found) == len(values)
        assert all(0 <= x <= plots.WIDTH and 0 <= y <= plots.HEIGHT for x, y in found)
        for (x1, y1), (px1, py1) in zip(values, found, strict=True):
            for (x2, y2), (px2, py2) in zip(values, found, strict=True):
                assert x1 >= x2 or px1 <= px2
                assert y1 >= y2 or py1 >= py2


@given(st.lists(NUMBERS, min_size=1, max_size=6))
def test_bars_stand_on_zero(values):
    svg = plots.bars(LABELS, [str(index) for index in range(len(values))], series(list(enumerate(values))))
    ET.fromstring(svg)
    assert svg.count("<title>") == len(values)


def test_wide_ranges_are_logarithmic():
    (x1, _), (x2, _), (x3, _) = places(plots.lines(LABELS, series([(1, 1), (10, 1), (100, 1)])))
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)


def test_a_legend_only_where_colours_tell_series_apart():
    few = plots.lines(LABELS, series([(1, 1)], [(2, 2)]))
    many = plots.lines(LABELS, series(*([(index, index)] for index in range(9))))
    assert "series 1" in few
    assert "series" not in plots.lines(LABELS, series([(1, 1)]))
    assert "series" not in many


def test_the_front_passes_through_what_no_cheaper_point_beats():
    svg = plots.scatter(LABELS, series([(1, 5), (2, 7), (3, 3), (4, 4), (5, 1)]), better=-1)
    (route,) = re.findall(r'<polyline points="([^"]*)"', svg)
    dots = places(svg)
    assert route.split() == [f"{x:.1f},{y:.1f}" for x, y in (dots[0], dots[2], dots[4])]


def test_error_bars_fit_into_the_plot():
    one = [Series("", (Mark(1, 5, "", interval=(1, 20)), Mark(2, 6, "", interval=(4, 7))))]
    for svg in (plots.lines(LABELS, one), plots.scatter(LABELS, one, 1), plots.course(LABELS, one[0], 1)):
        bars = re.findall(r'd="M([-\d.]+) ([-\d.]+)V([-\d.]+)M', svg)
        assert len(bars) == 2
        for (left, low, high), (x, y) in zip(bars, places(svg), strict=True):
            assert float(left) == x
            assert plots.HEIGHT > float(low) > y > float(high) > 0


@pytest.mark.parametrize("better", [1, -1])
def test_the_course_holds_the_best_so_far(better):
    values = [better * value for value in (3, 5, 4, 9, 1)]
    (one,) = series(list(enumerate(values)))
    svg = plots.course(LABELS, one, better)
    (route,) = re.findall(r'<polyline points="([^"]*)"', svg)
    heights = [float(point.split(",")[1]) for point in route.split()]
    dots = [y for _, y in places(svg)]
    assert heights == [dots[0], dots[0], dots[1], dots[1], dots[3], dots[3]]
    assert float(route.split()[-1].split(",")[0]) == places(svg)[-1][0]


def test_dots_stand_over_their_names():
    svg = plots.dots(LABELS, series([(0, 1), (2, 3)], [(1, 2)]), ["first", "second", "third"])
    written = {name: float(x) for x, name in re.findall(r'<text x="([-\d.]+)"[^>]*>(first|second|third)<', svg)}
    assert sorted(x for x, _ in places(svg)) == [written["first"], written["second"], written["third"]]
    assert svg.count("<polyline") == 0
