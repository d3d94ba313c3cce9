"""Sizes for images that keep their shape: of one area, divisible, and with as little cut away as can be."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pixelflow.core.sizes import fitting_size, nearest_multiples, sizes_of
from pixelflow.system.errors import SpecError
from tests.conftest import make_spec

UNITS = st.sampled_from([1, 2, 4, 8, 12, 32])
STEPS = st.integers(2, 40)
ASPECTS = st.floats(1, 4)


def kept(shape: tuple[int, int], size: tuple[int, int]) -> float:
    """Share of a picture that is seen when it covers `size`, by areas."""
    scale = max(size[0] / shape[0], size[1] / shape[1])
    return math.prod(size) / (math.prod(shape) * scale**2)


@given(UNITS, STEPS, STEPS, ASPECTS)
def test_sizes_have_the_area_and_the_aspect_and_can_be_cut(unit, rows, cols, aspect):
    assume(max(rows, cols) <= aspect * min(rows, cols))
    nominal = (rows * unit, cols * unit)
    sizes = sizes_of(nominal, unit, aspect)
    assert nominal in sizes
    assert len(set(sizes)) == len(sizes) <= 150
    assert {size[::-1] for size in sizes} == set(sizes)
    for size in sizes:
        assert all(side % unit == 0 and side > 0 for side in size)
        assert max(size) <= aspect * min(size) * (1 + 1e-9)
        assert abs(math.prod(size) / math.prod(nominal) - 1) <= 1 / 8 + 1e-9


@given(st.integers(6, 40), UNITS, st.integers(1, 5000), st.integers(1, 5000))
def test_a_picture_gets_the_size_that_keeps_most_of_it(steps, unit, height, width):
    sizes = sizes_of((steps * unit, steps * unit), unit, 2.0)
    chosen = fitting_size((height, width), sizes)
    assert kept((height, width), chosen) == pytest.approx(max(kept((height, width), size) for size in sizes))
    assert fitting_size((width, height), sizes) == chosen[::-1]
    if max(height, width) <= 1.5 * min(height, width):
        assert kept((height, width), chosen) >= 0.85


@given(st.integers(2, 40), UNITS, st.integers(1, 3000))
def test_squares_keep_the_square(steps, unit, side):
    nominal = (steps * unit, steps * unit)
    assert fitting_size((side, side), sizes_of(nominal, unit, 2.0)) == nominal


@given(st.integers(1, 3000), st.integers(1, 3000), UNITS)
def test_the_nearest_multiples_are_near_and_can_be_cut(height, width, unit):
    for side, near in zip((height, width), nearest_multiples((height, width), unit), strict=True):
        assert near % unit == 0
        assert near >= unit
        assert abs(near - side) <= max(unit / 2, unit - side)


def test_the_papers_first_step_has_eleven_sizes():
    sizes = sizes_of((256, 256), 32, 2.0)
    assert sizes[0] == (352, 192)
    assert (256, 256) in sizes
    assert len(sizes) == 11


def test_a_spec_has_its_sizes():
    assert make_spec().sizes == ((16, 16),)
    assert len(make_spec("image.size=32", "image.max_aspect=2").sizes) == 11


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["image.size=[32, 64]", "image.max_aspect=1.5"], "is 1.5, but the size's own aspect is 2"),
        (["image.max_aspect=1.1"], "image.max_aspect: 1.1 allows no other size of about this area"),
        (["image.max_aspect=0.5"], "must be at least 1"),
    ],
)
def test_an_aspect_that_cannot_be_is_refused(overrides, message):
    with pytest.raises(SpecError) as caught:
        make_spec(*overrides)
    assert message in str(caught.value)
