"""Grids and filmstrips, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelflow.generation.pictures import columns_of, filmstrip, grid, to_pil, to_uint8


def test_bytes_are_clipped_and_rounded():
    levels = torch.tensor([-3.0, -1.0, -0.999, 0.0, 0.999, 1.0, 7.0]).view(1, 1, 1, 7)
    assert to_uint8(levels).flatten().tolist() == [0, 0, 0, 128, 255, 255, 255]


@given(st.lists(st.integers(0, 255), min_size=1, max_size=16))
def test_every_byte_survives(values: list[int]):
    images = torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1) / 127.5 - 1
    assert to_uint8(images).flatten().tolist() == values


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pictures_keep_size_and_kind(channels: int, mode: str):
    picture = to_pil(torch.zeros(2, channels, 5, 9))[1]
    assert (picture.size, picture.mode) == ((9, 5), mode)


def cell(sheet: Image.Image, left: int, top: int, width: int, height: int) -> np.ndarray:
    return np.asarray(sheet.crop((left, top, left + width, top + height)))


def test_small_images_are_enlarged_by_a_whole_factor():
    image = torch.linspace(-1, 1, 8 * 16).view(1, 1, 8, 16)
    sheet = grid(image)
    assert sheet.size == (128 + 12, 64 + 12)
    shown = cell(sheet, 6, 6, 128, 64)[..., 0]
    assert np.array_equal(shown, np.kron(to_uint8(image)[0, ..., 0], np.ones((8, 8))))


def test_large_images_are_shown_as_they_are():
    assert grid(torch.zeros(4, 3, 64, 80), columns=4).size == (4 * 86 + 6, 64 + 12)


def test_cells_lie_row_by_row_and_the_rest_is_paper():
    levels = torch.tensor([-1.0, 0.0, 0.6]).view(3, 1, 1, 1).expand(3, 1, 64, 64)
    sheet = np.asarray(grid(levels, columns=2))
    assert [sheet[y, x, 0] for y, x in ((20, 20), (20, 90), (90, 20), (90, 90))] == [0, 128, 204, 255]


def test_titles_make_room_and_are_written_below_their_cells():
    images = -torch.ones(2, 1, 64, 64)
    plain, titled = grid(images, columns=2), grid(images, ["seven", "a name that is much too long"], columns=2)
    assert titled.width == plain.width
    assert titled.height > plain.height
    for left in (6, 76):
        assert cell(titled, left, 70, 64, 19).min() < 150
        assert np.array_equal(cell(titled, left, 6, 64, 64), cell(plain, left, 6, 64, 64))
    assert cell(titled, 70, 70, 6, 19).min() == 255


@pytest.mark.parametrize("count", [1, 2, 5, 23])
def test_a_grid_is_about_square(count: int):
    sheet = grid(torch.zeros(count, 1, 64, 64))
    assert 0.4 < sheet.width / sheet.height < 2.5


def test_a_filmstrip_has_a_row_an_image_and_a_column_a_stage():
    stages = [torch.full((3, 3, 8 << index, 16 << index), index / 2) for index in range(3)]
    sheet = filmstrip(stages)
    width, height = 128, 64
    assert sheet.size == (6 + 3 * (width + 6), 6 + 19 + 3 * (height + 6))
    colours = [np.asarray(sheet)[6 + 19 + 10, 6 + index * (width + 6) + 10, 0] for index in range(3)]
    assert colours == [128, 191, 255]


def test_a_filmstrip_heads_its_columns_with_their_resolution():
    stages = [torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 16, 16)]
    assert np.array_equal(filmstrip(stages), filmstrip(stages, ["8 x 8", "16 x 16"]))
    assert not np.array_equal(filmstrip(stages), filmstrip(stages, ["one", "two"]))


def test_a_filmstrip_shows_the_clean_image_beside_each_state_but_the_last():
    stages = [torch.full((2, 1, 8 << index, 8 << index), -1.0) for index in range(3)]
    clean = [torch.full_like(stage, level) for stage, level in zip(stages, (-0.5, 0.5, 1.0), strict=True)]
    sheet = filmstrip(stages, clean=clean)
    assert sheet.width == 6 + 5 * 70
    row = np.asarray(sheet)[6 + 19 + 10, :, 0]
    assert [row[6 + column * 70 + 10] for column in range(5)] == [0, 64, 0, 191, 0]


def test_a_filmstrip_names_its_rows():
    stages = [-torch.ones(2, 1, 64, 64)]
    plain, named = filmstrip(stages), filmstrip(stages, rows=["a red ball that lies on a hill", "two"])
    assert named.height == plain.height
    assert named.width == plain.width + 128
    assert cell(named, 0, 25, 128, 64).min() < 150
    assert np.array_equal(cell(named, 134, 0, 64, plain.height), cell(plain, 6, 0, 64, plain.height))


def test_images_of_several_sizes_lie_in_the_middle_of_their_cells():
    sheet = np.asarray(grid([-torch.ones(1, 64, 64), -torch.ones(1, 64, 128)], columns=2))[..., 0]
    assert sheet.shape == (76, 6 + 2 * 134)
    assert [sheet[30, x] for x in (6 + 10, 6 + 40, 6 + 100, 6 + 134 + 1)] == [255, 0, 255, 0]


@pytest.mark.parametrize(
    ("values", "columns"),
    [("abab", 2), ("abcabcab", 3), ("aaaa", None), ("aabb", None), ("abc", None), ("abca", None), ("", None)],
)
def test_what_repeats_in_order_has_a_column_each(values, columns):
    assert columns_of(values) == columns


def test_long_titles_are_wrapped_into_at_most_six_lines():
    images = -torch.ones(2, 1, 64, 64)
    heights = [grid(images, ["one", title], columns=2).height for title in ("two", "on two lines", "word " * 40)]
    assert [height - heights[0] for height in heights] == [0, 13, 5 * 13]


@pytest.mark.parametrize("repeated", ["x", "word "])
def test_a_title_without_end_is_cut_before_it_is_measured(repeated):
    """Pillow refuses to measure a million letters, and needs hours for some thousand prefixes."""
    images = -torch.ones(1, 1, 64, 64)
    endless, long = (grid(images, [count * repeated]) for count in (2_000_000, 2_000))
    assert np.array_equal(endless, long)
    assert np.array_equal(*(filmstrip([images], rows=[count * repeated]) for count in (2_000_000, 2_000)))
