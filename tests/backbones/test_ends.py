"""The ends of a transformer: how pixels become tokens and tokens pixels."""

from __future__ import annotations

import torch
from einops import rearrange
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.backbones.dit import DiT
from pixelflow.core.packing import Group


def with_plain_ends(channels: int, patch: int) -> DiT:
    """A network whose ways in and out leave the pixels of a patch as they are."""
    params = DiT.Params(depth=1, heads=1, head_dim=4)
    network = DiT(params, channels=channels, patches=[patch], context_dim=None)
    network.width = channels * patch**2
    network.make_ends([patch])
    for way in network.ends:
        torch.nn.init.eye_(way.weight)
        torch.nn.init.zeros_(way.bias)
    return network


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_patches_come_back_in_the_order_of_the_projections(channels: int, rows: int, cols: int, patch: int):
    """Input patches are (c, ph, pw), output patches (ph, pw, c): between them lies this reordering."""
    network, images = with_plain_ends(channels, patch), torch.randn(2, channels, rows * patch, cols * patch)
    tokens, kept = network.train().enter(images, patch, torch.empty(0))
    torch.testing.assert_close(tokens[0], images[0, :, :patch, :patch].flatten())
    torch.testing.assert_close(network.eval().enter(images, patch, torch.empty(0))[0], tokens)
    reordered = rearrange(tokens, "(b l) (c ph pw) -> b l (ph pw c)", b=2, c=channels, ph=patch)
    back = network.leave(reordered, patch, Group(2, rows, cols), torch.empty(0), kept)
    torch.testing.assert_close(back, images)
