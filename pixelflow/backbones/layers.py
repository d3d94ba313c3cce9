"""Layers shared by transformer backbones on packed sequences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from pixelflow.core.attention import cross_attention, self_attention
from pixelflow.core.packing import Group, ImageLayout, Joint, Layout

_HAS_ONEDNN = torch.backends.mkldnn.is_available()


class Rope(NamedTuple):
    """Angles of every token, (n 1 ...) or, for a uniform batch, (l 1 ...)."""

    cos: Tensor
    """(n 1 head_dim)"""
    sin: Tensor
    """(n 1 head_dim), less than 0 where the second number of a pair is taken off the first"""
    turns: Tensor
    """(n 1 head_dim/2) the same as complex numbers"""

    @staticmethod
    def of(cos: Tensor, sin: Tensor) -> Rope:
        """Of cosines and signed sines (n 1 head_dim), in pairs."""
        return Rope(cos, sin, torch.complex(cos[..., ::2].contiguous(), sin[..., 1::2].contiguous()))


@lru_cache(maxsize=16)
def _frequencies(count: int, device: torch.device) -> Tensor:
    exponents = -math.log(10000.0) * torch.arange(count, device=device, dtype=torch.float32)
    return torch.exp(exponents / (count - 1))


class ScalarEmbedding(nn.Module):
    """A number to a conditioning vector: sinusoids, linear, SiLU, linear. (b) -> (b width)

    Cosines come first, then sines, of frequencies ``10000**(-k/(channels/2 - 1))``. Times reach 1000, so the last bit
    of a frequency shows in the fourth decimal of an angle: the order of these operations is the release's.
    """

    def __init__(self, width: int, channels: int = 256) -> None:
        super().__init__()
        self.channels = channels
        self.inner = nn.Linear(channels, width)
        self.outer = nn.Linear(width, width)

    def forward(self, position: Tensor) -> Tensor:
        angles = position.float()[:, None] * _frequencies(self.channels // 2, position.device)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.inner.weight.dtype)
        given: Tensor = self.outer(F.silu(self.inner(waves)))
        return given


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis, computed in float32, with a weight."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).to(x.dtype)


@lru_cache(maxsize=64)
def _axial_rope(rows: int, cols: int, head_dim: int, device: torch.device) -> Rope:
    """2-D RoPE of one grid: (rows*cols 1 head_dim). The first half of the head turns with the column."""
    quarter = head_dim // 4
    frequencies = 1 / 10000.0 ** (torch.arange(quarter, dtype=torch.float32) / quarter)
    by_col = repeat(torch.arange(cols)[:, None] * frequencies, "w k -> (h w) (k two)", h=rows, two=2)
    by_row = repeat(torch.arange(rows)[:, None] * frequencies, "h k -> (h w) (k two)", w=cols, two=2)
    angles = rearrange(torch.cat([by_col, by_row], dim=-1), "l d -> l 1 d")
    signs = torch.tensor([-1.0, 1.0]).repeat(head_dim // 2)
    return Rope.of(angles.cos().to(device), (signs * angles.sin()).to(device))


def _packed_rope(groups: tuple[Group, ...], head_dim: int, device: torch.device) -> Rope:
    tables = [_axial_rope(group.rows, group.cols, head_dim, device) for group in groups]
    counts = [group.count for group in groups]
    return Rope(
        *(
            torch.cat([part.repeat(n, 1, 1) for part, n in zip(parts, counts, strict=True)])
            for parts in zip(*tables, strict=True)
        )
    )


@lru_cache(maxsize=8)  # as long as the batch, and other for each where sizes are mixed
def rope_of(layout: ImageLayout, head_dim: int) -> Rope:
    """The rotation of every token of a packed batch."""
    if layout.is_uniform:
        group = layout.groups[0]
        return _axial_rope(group.rows, group.cols, head_dim, layout.device)
    return _packed_rope(layout.groups, head_dim, layout.device)


@lru_cache(maxsize=8)
def joint_rope(joint: Joint, layout: ImageLayout, head_dim: int) -> Rope:
    """The rotation of every token of other tokens and images, one behind the other; the others are not turned."""
    cos, sin, _ = _packed_rope(layout.groups, head_dim, layout.device)
    still = cos.new_ones(len(joint.first), 1, head_dim)
    return Rope.of(joint.merge(still, cos), joint.merge(still * 0, sin))


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Turn interleaved pairs of x (n heads head_dim); source: RoFormer (arXiv 2104.09864) eq 34.

    As a product of complex numbers it is eight times as fast, and on CPUs the same to the bit where vectors of 16
    numbers fill a head; inductor, which fuses what is written out, compiles no complex numbers.
    """
    is_recorded = torch.is_grad_enabled() and x.requires_grad
    is_exact = x.device.type != "cpu" or x.shape[-1] % 16 == 0
    if torch.compiler.is_compiling() or not is_exact or (is_recorded and x.dtype != torch.float32):
        return _rotated_in_real(x, rope)
    pairs = x.float().reshape(-1, len(rope.turns), x.shape[1], x.shape[2] // 2, 2)
    turned = torch.view_as_real(torch.view_as_complex(pairs) * rope.turns)
    return turned.flatten(-2).flatten(0, 1).to(x.dtype)


def _rotated_in_real(x: Tensor, rope: Rope) -> Tensor:
    cos, sin, _ = rope
    if torch.compiler.is_compiling() and x.device.type == "cuda":  # one read of each number in place of two
        turned = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    else:
        turned = torch.stack([x[..., 1::2], x[..., 0::2]], dim=-1).flatten(-2)
    if len(cos) != len(x):
        shape = (-1, len(cos), *x.shape[1:])
        x, turned = x.view(shape), turned.view(shape)
    given: Tensor = (x * cos + turned * sin).to(x.dtype).flatten(0, -3)
    return given


def modulate(x: Tensor, shift: Tensor, scale: Tensor, layout: Layout) -> Tensor:
    """adaLN: ``x * (1 + scale) + shift`` with x (n d) packed and shift, scale (images d)."""
    units = x.view(layout.units, layout.unit, x.shape[-1])
    given: Tensor = (units * (1 + _of_units(scale, layout)) + _of_units(shift, layout)).flatten(0, 1)
    return given


def gate(x: Tensor, factor: Tensor, layout: Layout) -> Tensor:
    """``x * factor`` with x (n d) packed and factor (images d)."""
    return (x.view(layout.units, layout.unit, x.shape[-1]) * _of_units(factor, layout)).flatten(0, 1)


def _of_units(values: Tensor, layout: Layout) -> Tensor:
    """What each image has (images d), for its units of tokens: (units 1 d)

    Taken in float32, in which gradients are then summed: thousands of tokens, one after the other, are too many for 16
    bits.
    """
    if layout.is_uniform:
        return values[:, None]
    return values.float()[layout.image_of_unit].to(values.dtype)[:, None]


class StartsAsIdentity(nn.Module):
    """A block whose residual branches end in zeros before it is trained."""

    def zero(self) -> Iterator[nn.Module]:
        """The layers that start at zero, with the weights and biases of each."""
        yield from ()


class SelfAttention(nn.Module):
    """Multi-head attention within each image; RMSNorm on q and k over the whole width, then RoPE."""

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        width = heads * head_dim
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = RMSNorm(width)
        self.k_norm = RMSNorm(width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, layout: Layout, rope: Rope) -> Tensor:
        """(n d) -> (n d)"""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in (self.q_norm(q), self.k_norm(k), v))
        attended = self_attention(rotate(q, rope), rotate(k, rope), v, layout)
        given: Tensor = self.out(attended.flatten(-2))
        return given


class CrossAttention(nn.Module):
    """Multi-head attention to the context. Queries get RoPE, keys do not, as in the release."""

    def __init__(self, heads: int, head_dim: int, context_dim: int) -> None:
        super().__init__()
        width = heads * head_dim
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(context_dim, 2 * width)
        self.q_norm = RMSNorm(width)
        self.k_norm = RMSNorm(width)
        self.out = nn.Linear(width, width)

    def context(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (images m heads head_dim) of context tokens (images m context_dim)."""
        k, v = self.kv(tokens).chunk(2, dim=-1)
        return self.k_norm(k).unflatten(-1, (self.heads, -1)), v.unflatten(-1, (self.heads, -1))

    def forward(self, x: Tensor, context: tuple[Tensor, Tensor], mask: Tensor, layout: Layout, rope: Rope) -> Tensor:
        """Tokens x (n d), keys and values of the context (images m heads head_dim), mask (images m) -> (n d)"""
        k, v = context
        q = self.q_norm(self.q(x)).unflatten(-1, (self.heads, -1))
        attended = cross_attention(rotate(q, rope), k, v, mask, layout)
        given: Tensor = self.out(attended.flatten(-2))
        return given


class MLP(nn.Module):
    """linear, tanh-GELU, linear; (n d) -> (n d)"""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled() and _is_fused(x, self.inner):
            hidden = _linear_gelu(x, self.inner.weight, self.inner.bias)
        else:
            hidden = F.gelu(self.inner(x), approximate="tanh")
        given: Tensor = self.outer(hidden)
        return given


def _is_fused(x: Tensor, layer: nn.Linear) -> bool:
    """Whether a linear layer and its GELU can be one call, where gradients are not wanted.

    On CPUs the last bits of float32 differ, so that there only compiled blocks, whose bits differ anyway, do so.
    """
    is_16_bit, is_gpu = x.dtype in (torch.bfloat16, torch.float16), x.device.type == "cuda"
    is_free = is_16_bit if is_gpu else (torch.compiler.is_compiling() or x.dtype == torch.bfloat16)
    is_here = is_gpu or (x.device.type == "cpu" and _HAS_ONEDNN)
    is_here = is_here and type(layer) is nn.Linear and x.dtype == layer.weight.dtype
    return is_free and is_here and type(layer.weight) is nn.Parameter  # and not of 8 bits


@torch.library.custom_op("pixelflow::linear_gelu", mutates_args=())
def _linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A product with its GELU, by cuBLAS or oneDNN.

    Behind a name of ours, because inductor takes the one apart, and the other with constant weights only.
    """
    if x.device.type == "cuda":
        return torch._addmm_activation(bias, x, weight.t(), use_gelu=True)
    given: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu", [], "tanh")
    return given


@_linear_gelu.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:-1], len(weight))
