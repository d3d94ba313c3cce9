"""Mixed resolutions in one sequence."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.core.packing import Group, ImageLayout, layout_of

sides = st.integers(1, 4)
groups = st.lists(st.tuples(st.integers(1, 3), sides, sides, st.integers(1, 3)), min_size=1, max_size=4)


def layout_in_patches(shapes: list[tuple[int, int, int, int]]) -> ImageLayout:
    """Of groups of images, each given by count, rows, columns and patch size."""
    sizes = tuple((count, 1, rows * patch, cols * patch) for count, rows, cols, patch in shapes)
    return layout_of(sizes, tuple(patch for *_, patch in shapes), torch.device("cpu"))


@given(groups)
def test_a_layout_knows_whose_tokens_are_whose(shapes: list[tuple[int, int, int, int]]) -> None:
    layout = layout_in_patches(shapes)
    lengths = [rows * cols for count, rows, cols, _ in shapes for _ in range(count)]
    assert layout.groups == tuple(Group(count, rows, cols) for count, rows, cols, _ in shapes)
    assert (layout.images, layout.tokens, layout.longest) == (len(lengths), sum(lengths), max(lengths))
    assert list(layout.lengths) == lengths
    assert layout.bounds.dtype == torch.int32
    assert layout.bounds.diff().tolist() == lengths
    assert layout.image_of_token.bincount(minlength=len(lengths)).tolist() == lengths
    assert layout.is_uniform == (len(shapes) == 1)


@given(groups)
def test_splitting_undoes_concatenation(shapes: list[tuple[int, int, int, int]]) -> None:
    layout = layout_in_patches(shapes)
    tokens = [torch.randn(group.count, group.length, 5) for group in layout.groups]
    parts = layout.split(torch.cat([part.flatten(0, 1) for part in tokens]))
    assert all(torch.equal(part, whole) for part, whole in zip(parts, tokens, strict=True))


def test_equal_batches_share_one_layout() -> None:
    batches = [[torch.zeros(2, 1, 4, 4), torch.zeros(1, 1, 8, 4)] for _ in range(2)]
    first, second = (layout_of(tuple(own.shape for own in batch), (2, 2), batch[0].device) for batch in batches)
    assert first is second


def test_sides_that_patches_do_not_divide_are_named() -> None:
    with pytest.raises(ValueError, match="6x4 pixels cannot be cut into patches of 4"):
        layout_of(((1, 1, 6, 4),), (4,), torch.device("cpu"))
