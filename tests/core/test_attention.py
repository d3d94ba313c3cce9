"""Packed attention against xformers' block-diagonal mask, and masked context."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelflow.core.attention import (
    BACKEND_VARIABLE,
    available_kernels,
    choose_kernel,
    cross_attention,
    grouped_attention,
    self_attention,
    xformers_mask,
)
from pixelflow.core.packing import Layout, layout_of
from pixelflow.system.errors import MissingDependencyError, UsageError

HEADS, HEAD_DIM = 2, 8


def mixed_layout() -> Layout:
    return layout_of([torch.zeros(2, 1, 8, 8), torch.zeros(3, 1, 4, 8), torch.zeros(1, 1, 2, 2)], [2, 2, 2])


def tokens(count: int, seed: int) -> Tensor:
    return torch.randn(count, HEADS, HEAD_DIM, generator=torch.Generator().manual_seed(seed))


def masked(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention over everything with an additive mask (n m): what the packed form must equal."""
    parts = (part.transpose(0, 1) for part in (q, k, v))
    return F.scaled_dot_product_attention(*parts, attn_mask=bias).transpose(0, 1)


@pytest.mark.parametrize("attend", [grouped_attention, self_attention])
def test_packed_attention_is_block_diagonal(attend: type) -> None:
    pytest.importorskip("xformers")
    layout = mixed_layout()
    q, k, v = (tokens(layout.tokens, seed) for seed in range(3))
    oracle = xformers_mask(layout).materialize((layout.tokens, layout.tokens))
    torch.testing.assert_close(attend(q, k, v, layout), masked(q, k, v, oracle), rtol=0, atol=1e-6)


def test_packed_attention_without_xformers() -> None:
    """The same oracle, built by hand."""
    layout = mixed_layout()
    q, k, v = (tokens(layout.tokens, seed) for seed in range(3))
    own = layout.image_of_token[:, None] == layout.image_of_token[None, :]
    bias = torch.zeros(own.shape).masked_fill(~own, -torch.inf)
    torch.testing.assert_close(grouped_attention(q, k, v, layout), masked(q, k, v, bias), rtol=0, atol=1e-6)


def test_masked_context_equals_shorter_context() -> None:
    layout = mixed_layout()
    q = tokens(layout.tokens, 0)
    k, v = (tokens(layout.images * 5, seed).view(layout.images, 5, HEADS, HEAD_DIM) for seed in (1, 2))
    mask = torch.arange(5) < 3
    found = cross_attention(q, k, v, mask.expand(layout.images, -1), layout)
    everything = torch.ones(layout.images, 3, dtype=torch.bool)
    short = cross_attention(q, k[:, :3], v[:, :3], everything, layout)
    torch.testing.assert_close(found, short, rtol=0, atol=1e-6)


def test_kernels_say_why_they_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_kernels("cpu", torch.float32)["grouped"] is None
    assert available_kernels("cuda", torch.float32)["varlen"] == "needs 16-bit precision (training.precision: bfloat16)"
    assert choose_kernel("cpu", torch.float32) == "grouped"
    monkeypatch.setenv(BACKEND_VARIABLE, "flash9")
    with pytest.raises(UsageError, match="flash9 is unknown; use one of: auto, grouped"):
        choose_kernel("cpu", torch.float32)
    monkeypatch.setenv(BACKEND_VARIABLE, "xformers")
    with pytest.raises(MissingDependencyError, match="needs a CUDA device"):
        choose_kernel("cpu", torch.float32)
