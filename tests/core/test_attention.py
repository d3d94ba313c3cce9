"""Packed attention against xformers' block-diagonal mask, and masked context."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelflow.core import attention
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
    return layout_of(((2, 1, 8, 8), (3, 1, 4, 8), (1, 1, 2, 2)), (2, 2, 2), torch.device("cpu"))


def tokens(count: int, seed: int) -> Tensor:
    return torch.randn(count, HEADS, HEAD_DIM, generator=torch.Generator().manual_seed(seed))


def masked(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention over everything with an additive mask (n m): what the packed form must equal."""
    parts = (part.transpose(0, 1) for part in (q, k, v))
    return F.scaled_dot_product_attention(*parts, attn_mask=bias).transpose(0, 1)


@pytest.mark.parametrize("attend", [grouped_attention, attention.cudnn_attention, self_attention])
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


@pytest.mark.parametrize("short", [0, 512], ids=["torch's kernel", "plain products"])
def test_16_bits_on_a_cpu_are_near_more_with_and_without_a_mask(monkeypatch, short):
    monkeypatch.setattr(attention, "_SHORT", short)
    layout = Layout.of([12, 12, 5], torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(layout.tokens, 2, 16, generator=generator) for _ in range(3))
    context = [torch.randn(3, 7, 2, 16, generator=generator) for _ in range(2)]
    mask = torch.rand(3, 7, generator=generator) < 0.6
    mask[1] = False
    for wanted, found in (
        (attention.self_attention(q, k, v, layout), attention.self_attention(*map(half, (q, k, v)), layout)),
        (
            attention.cross_attention(q, *context, mask, layout),
            attention.cross_attention(half(q), *map(half, context), mask, layout),
        ),
    ):
        assert found.dtype == torch.bfloat16
        assert 0 < float((found.float() - wanted).norm() / wanted.norm()) < 0.02


def half(tensor):
    return tensor.bfloat16()
