"""Figures keep three digits in whatever unit they are shown; tables stand in columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.system.tables import duration, percent, quantity, table

POWERS = {prefix: 1000.0**power for power, prefix in enumerate(["", "K", "M", "G", "T", "P", "E"])}
LENGTHS = {"milliseconds": 1e-3, "seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "years": 365.25 * 86400}


@given(st.floats(min_value=1, max_value=9.9e20))
def test_a_quantity_reads_back_to_half_a_percent_in_at_most_four_characters(value):
    number, _, prefix = quantity(value).partition(" ")
    assert float(number) * POWERS[prefix] == pytest.approx(value, rel=0.0051)
    assert len(number) <= 4


@given(st.floats(min_value=1e-3, max_value=1e12))
def test_a_duration_reads_back(seconds):
    number, unit = duration(seconds).split()
    assert float(number.replace(",", "")) * LENGTHS[unit] == pytest.approx(seconds, rel=0.051)
    assert "e" not in number
    assert unit in ("milliseconds", "days", "years") or 0.1 <= float(number) <= 120


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0, "", "0"), (999.4, "B", "999 B"), (999.6, "B", "1.00 KB"), (2909400000.0, "", "2.91 G"), (7, "B", "7 B")],
)
def test_quantities_at_the_edges(value, unit, text):
    assert quantity(value, unit) == text


@given(st.floats(min_value=0, max_value=1))
def test_a_share_reads_back(share):
    assert float(percent(share).rstrip("%")) / 100 == pytest.approx(share, abs=0.0051)


CELLS = st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=1, max_size=9)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6))
def test_columns_end_together_and_lose_nothing(rows):
    lines = table(rows).splitlines()
    assert [tuple(line.split()) for line in lines] == rows
    assert len({len(line) for line in lines}) == 1
