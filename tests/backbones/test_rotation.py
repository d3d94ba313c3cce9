"""Rotary positions: the angle by which a pair turns, and its two ways of being computed, to the bit."""

from __future__ import annotations

import pytest
import torch

from pixelflow.backbones import layers
from pixelflow.core.packing import layout_of


def rope(sides):
    shapes = tuple((2, 1, side, side) for side in sides)
    layout = layout_of(shapes, (1,) * len(sides), torch.device("cpu"))
    return layers.rope_of(layout, 16)


def test_pairs_turn_by_column_and_row_at_their_own_frequency():
    """The first pair of each half turns by one radian a place, the next slower."""
    x = torch.zeros(2 * 9, 1, 16)
    x[..., ::2] = 1.0
    turned = layers.rotate(x, rope([3])).unflatten(-1, (-1, 2))
    row, col = torch.tensor(2.0), torch.tensor(1.0)
    place = turned[9 + 3 * 2 + 1, 0]
    torch.testing.assert_close(place[0], torch.stack([col.cos(), col.sin()]))
    torch.testing.assert_close(place[4], torch.stack([row.cos(), row.sin()]))
    slower = torch.tensor(10000.0 ** (-1 / 4))
    torch.testing.assert_close(place[1], torch.stack([slower.cos(), slower.sin()]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sides", [[4], [4, 2]])
def test_complex_and_real_products_are_the_same_to_the_bit(sides, dtype):
    tokens = 2 * sum(side**2 for side in sides)
    x = torch.randn(tokens, 3, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert torch.equal(layers.rotate(x, rope(sides)), layers._rotated_in_real(x, rope(sides)))
