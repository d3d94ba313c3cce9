"""Figures are the bytes that matplotlib's own `savefig` would write, and depend on nothing but what is drawn."""

from __future__ import annotations

import io

import pytest

from pixelflow.system import plotting


@pytest.fixture
def figure():
    with plotting.drawing(4, 3) as (figure, axes):
        axes.plot([1, 2, 3], [1.0, 0.1, 0.01], label="a$b$")
        axes.set_yscale("log")
        axes.set_title("naïve <&>")
        axes.legend()
        yield figure


def test_a_picture_is_that_of_savefig(figure):
    once = plotting.png(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert once == buffer.getvalue() == plotting.png(figure)


def test_a_vector_picture_is_that_of_savefig_from_its_element_on(figure):
    once = plotting.svg(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    assert once.startswith("<svg")
    assert buffer.getvalue().rstrip().endswith(once)
    assert once == plotting.svg(figure)
    assert "a$b$" in once, "names are no formulas"


@pytest.mark.parametrize(
    ("values", "is_wide"),
    [
        ([], False),
        ([1.0], False),
        ([1.0, 12.0], True),
        ([1.0, 11.9], False),
        ([0.0, 100.0], False),
        ([-1.0, 100], False),
    ],
)
def test_axes_of_wide_ranges_of_positive_numbers_are_logarithmic(values, is_wide):
    assert plotting.is_wide(values) is is_wide
