"""What an image gives all of its tokens alike: shifts, scales and gates, and their gradients."""

from __future__ import annotations

import pytest
import torch

from pixelflow.backbones.layers import gate, modulate
from pixelflow.core.packing import Layout, layout_of

CPU = torch.device("cpu")
LAYOUTS = {
    "one resolution": layout_of(((3, 1, 8, 8),), (1,), CPU),
    "two": layout_of(((2, 1, 32, 32), (3, 1, 16, 16)), (1, 1), CPU),
    "nothing in common": Layout.of((7, 0, 5, 5, 16), CPU),
    "no tokens": Layout.of((0, 0), CPU),
}


def given(layout: Layout, width: int = 8, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = (layout.tokens, layout.images, layout.images)
    return [torch.randn(size, width, generator=generator).to(dtype).requires_grad_() for size in sizes]


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_token_has_what_its_image_has(name):
    layout = LAYOUTS[name]
    x, shift, scale = given(layout)
    index = layout.image_of_token
    assert torch.equal(modulate(x, shift, scale, layout), x * (1 + scale[index]) + shift[index])
    assert torch.equal(gate(x, scale, layout), x * scale[index])
    asked = (x, shift, scale)
    own = torch.autograd.grad(modulate(*asked, layout).square().sum(), asked)
    wanted = torch.autograd.grad((x * (1 + scale[index]) + shift[index]).square().sum(), asked)
    for found, other in zip(own, wanted, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("side", [16, 64])
def test_gradients_of_16_bits_are_sums_over_thousands_of_tokens(side):
    """One after the other in 16 bits, the sums of 4,096 were wrong by a third."""
    layout = layout_of(((2, 1, side, side), (2, 1, side // 2, side // 2)), (1, 1), CPU)
    exact, half = (
        torch.autograd.grad(modulate(x, shift, scale, layout), (shift, scale), 0.3 + x.detach())
        for x, shift, scale in (given(layout, 64), given(layout, 64, torch.bfloat16))
    )
    for found, wanted in zip(half, exact, strict=True):
        assert float((found.double() - wanted).norm() / wanted.norm()) < 0.01
