"""Plots put every value where its axis says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelflow.sweep.report import plots
from pixelflow.sweep.report.plots import Labels, Mark, Series

LABELS = Labels("distance <&>", "steps of $x_1$")
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False, width=32)
SPACE = "{http://www.w3.org/2000/svg}"


def series(*groups):
    return [
        Series(f"series {index}", tuple(Mark(x, y, f"{x} <&> {y}", "1") for x, y in group))
        for index, group in enumerate(groups)
    ]


def places(svg: str) -> list[tuple[float, float]]:
    """Where the marks lie, in points from the upper left, in the order in which they were drawn."""
    found = re.findall(r'<g id="mark-\d+">.*?<use [^>]*x="([-\d.e]+)" y="([-\d.e]+)"', svg, re.S)
    return [(float(x), float(y)) for x, y in found]


def route(svg: str, name: str) -> list[tuple[float, float]]:
    """The corners of the line of this name."""
    (path,) = re.findall(rf'<g id="{name}">\s*<path d="([^"]*)"', svg)
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] ([-\d.e]+) ([-\d.e]+)", path)]


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_every_mark_is_inside_and_in_order(values):
    for svg in (plots.lines(LABELS, series(values)), plots.scatter(LABELS, series(values), -1)):
        ET.fromstring(svg)
        found = places(svg)
        assert len(found) == len(values)
        assert all(0 <= x <= 72 * plots.WIDTH and 0 <= y <= 72 * plots.HEIGHT for x, y in found)
        for (x1, y1), (px1, py1) in zip(values, found, strict=True):
            for (x2, y2), (px2, py2) in zip(values, found, strict=True):
                assert x1 >= x2 or px1 <= px2
                assert y1 >= y2 or py1 >= py2


def test_bars_stand_on_zero():
    svg = plots.bars(LABELS, ["a", "b", "c"], series([(0, 2), (1, -1), (2, 0.5)]))
    drawn = re.findall(r'<g id="mark-\d">.*?<path d="([^"]*)"', svg, re.S)
    corners = [[float(y) for y in re.findall(r"[ML] [-\d.]+ ([-\d.]+)", path)] for path in drawn]
    feet = [bar[0] for bar in corners]
    heights = [bar[0] - bar[2] for bar in corners]
    assert feet == [feet[0]] * 3
    assert heights[0] == pytest.approx(-2 * heights[1], rel=1e-3) == pytest.approx(4 * heights[2], rel=1e-3)


def test_whoever_points_at_a_mark_reads_what_it_is():
    svg = plots.lines(LABELS, series([(1, 2), (3, 4)]))
    titles = {group.get("id"): group.findtext(f"{SPACE}title") for group in ET.fromstring(svg).iter(f"{SPACE}g")}
    assert (titles["mark-0"], titles["mark-1"]) == ("1 <&> 2", "3 <&> 4")


def test_axes_and_plot_have_their_words():
    words = [text.text for text in ET.fromstring(plots.lines(LABELS, series([(1, 2), (3, 4)]))).iter(f"{SPACE}text")]
    assert {"distance <&>", "steps of $x_1$", "1", "3"} <= set(words)


def test_the_same_values_give_the_same_bytes():
    assert plots.lines(LABELS, series([(1, 2), (3, 4)])) == plots.lines(LABELS, series([(1, 2), (3, 4)]))


def test_a_plot_fetches_nothing():
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", plots.lines(LABELS, series([(1, 2)])))


def test_wide_ranges_are_logarithmic():
    (x1, y1), (x2, y2), (x3, y3) = places(plots.lines(LABELS, series([(1, 2), (10, 20), (100, 200)])))
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y2 - y1 == pytest.approx(y3 - y2, abs=0.2)


def test_a_legend_only_where_colours_tell_series_apart():
    few = plots.lines(LABELS, series([(1, 1)], [(2, 2)]))
    many = plots.lines(LABELS, series(*([(index, index)] for index in range(9))))
    assert "series 1" in few
    assert "series" not in plots.lines(LABELS, series([(1, 1)]))
    assert "series" not in many


def test_the_front_passes_through_what_no_cheaper_point_beats():
    svg = plots.scatter(LABELS, series([(1, 5), (2, 7), (3, 3), (4, 4), (5, 1)]), better=-1)
    dots = places(svg)
    assert route(svg, "front") == [pytest.approx(dots[index], abs=0.01) for index in (0, 2, 4)]


def test_error_bars_fit_into_the_plot():
    one = [Series("", (Mark(1, 5, "", interval=(1, 20)), Mark(2, 6, "", interval=(6.5, 7))))]
    for svg in (plots.lines(LABELS, one), plots.scatter(LABELS, one, 1), plots.course(LABELS, one[0], 1)):
        bars = re.findall(r'<g id="LineCollection_\d">\s*<path d="M ([-\d.]+) ([-\d.]+) *\n?L [-\d.]+ ([-\d.]+)', svg)
        assert len(bars) == 2
        for (left, low, high), (x, _) in zip(bars, places(svg), strict=True):
            assert float(left) == pytest.approx(x, abs=0.01)
            assert 72 * plots.HEIGHT > float(low) > float(high) > 0


@pytest.mark.parametrize("better", [1, -1])
def test_the_course_holds_the_best_so_far(better):
    values = [better * value for value in (3, 5, 4, 9, 1)]
    (one,) = series(list(enumerate(values)))
    svg = plots.course(LABELS, one, better)
    corners, dots = route(svg, "best"), places(svg)
    assert [y for _, y in corners] == pytest.approx([dots[index][1] for index in (0, 0, 1, 1, 3, 3, 3)], abs=0.01)
    assert corners[-1][0] == pytest.approx(dots[-1][0], abs=0.01)
    assert all(before[0] <= after[0] for before, after in pairwise(corners))


def test_dots_stand_over_their_names():
    names = ["first", "second", "third"]
    svg = plots.dots(LABELS, series([(0, 1), (2, 3)], [(1, 2)]), names)
    written = [float(text.get("x", "nan")) for text in ET.fromstring(svg).iter(f"{SPACE}text") if text.text in names]
    assert sorted(x for x, _ in places(svg)) == pytest.approx(written, abs=0.01)
