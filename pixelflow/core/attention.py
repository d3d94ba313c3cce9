"""The one seam to attention kernels: packed self-attention, of two streams too, and cross-attention to padded context.

On CPUs one batched call a resolution is best. On GPUs a packed batch goes through whichever kernel a short measurement
found to be the fastest there, which is kept: block-diagonal ones (torch's varlen, FlashAttention 3, xformers) in one
launch, or a batched call a resolution, of which torch or cuDNN chooses the kernel. Batches of one resolution go through
one of the latter two.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from pixelflow.core.attention_speed import Kernel, measured
from pixelflow.core.packing import Joint, Layout, Padding
from pixelflow.system.errors import MissingDependencyError, UsageError

BACKEND_VARIABLE = "PIXELFLOW_ATTENTION"

_MASKED = -10000.0
"""What the release adds to the score of a masked position."""

_SHORT = 512
"""Keys up to which a CPU attends in plain products of 16 bits: all scores lie in memory at once."""


def self_attention(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """Attention of every token to the tokens of its own image, scaled by 1/sqrt(head_dim).

    Args:
        q, k, v: (n heads head_dim), packed as `layout` says.

    Returns:
        (n heads head_dim)
    """
    if layout.is_uniform and q.device.type == "cpu":  # a plain batch, where no other kernel is
        return _batched(*(part.unflatten(0, (layout.images, layout.longest)) for part in (q, k, v)))
    name: str = _kernel(q.device.type, q.dtype, q.shape[-1], layout.is_uniform)
    return KERNELS[name](q, k, v, layout)


def cross_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, layout: Layout) -> Tensor:
    """Attention of every token to its image's context.

    Args:
        q: (n heads head_dim), packed as `layout` says.
        k, v: (images m heads head_dim)
        mask: (images m), true where attended. Like the release it lowers scores by 10,000 and does not remove them, so
            an image whose mask holds nothing attends to all positions alike.

    Returns:
        (n heads head_dim)
    """
    if layout.is_uniform:
        return _batched(q.unflatten(0, (layout.images, layout.longest)), k, v, _bias(mask.bool()))
    if layout.is_one_of_many and torch.compiler.is_compiling():
        found: Tensor = _uncompiled(cross_attention, q, k, v, mask, layout)
        return found
    outputs = []
    counts = [span.count for span in layout.spans]
    for queries, keys, values, allowed in zip(
        layout.split(q), k.split(counts), v.split(counts), mask.bool().split(counts), strict=True
    ):
        outputs.append(_batched(queries, keys, values, _bias(allowed)))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _bias(allowed: Tensor) -> Tensor:
    """What a mask (b m) adds to scores (b heads l m)."""
    return rearrange(_MASKED * allowed.logical_not(), "b m -> b 1 1 m")


def _called(function: Callable[..., Tensor], *given: object) -> Tensor:
    return function(*given)


_uncompiled: Callable[..., Tensor] = _called
"""A call that compiled blocks leave as it is: it would be compiled anew for each mix of shapes."""


@functools.cache
def mark_for_compiling() -> None:
    """Tell torch.compile what of this module blocks are not to be traced through; before they are compiled.

    Not by decorators: these import the compiler, which takes a second and a half, and few processes compile.
    """
    global _uncompiled, _kernel
    _uncompiled = torch.compiler.disable(_called)
    _kernel = torch.compiler.assume_constant_result(_named)  # a traced block gets the name alone


def joint_attention(
    first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor], joint: Joint
) -> tuple[Tensor, Tensor]:
    """Attention of the tokens of two streams, such as text and image, to all tokens of their own image in both.

    Args:
        first, second: q, k, v (n heads head_dim) of each stream, packed.

    Returns:
        one (n heads head_dim) a stream
    """
    q, k, v = (joint.merge(one, other) for one, other in zip(first, second, strict=True))
    return joint.split(self_attention(q, k, v, joint.layout))


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """One batched call a span, padded where its sequences differ in length: works on every device.

    Args:
        q, k, v: (n heads head_dim), packed as `layout` says.

    Returns:
        (n heads head_dim)
    """
    if layout.is_one_of_many and not layout.is_uniform and torch.compiler.is_compiling():
        found: Tensor = _uncompiled(grouped_attention, q, k, v, layout)
        return found
    sizes, outputs = [span.tokens for span in layout.spans], []
    parts = zip(q.split(sizes), k.split(sizes), v.split(sizes), strict=True)
    for span, padding, own in zip(layout.spans, layout.paddings, parts, strict=True):
        if padding is None:
            outputs.append(_batched(*(part.unflatten(0, (span.count, span.longest)) for part in own)))
        else:
            outputs.append(_padded(*own, padding))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _padded(q: Tensor, k: Tensor, v: Tensor, padding: Padding) -> Tensor:
    """A span of sequences of several lengths; q, k, v (tokens heads d) -> (tokens heads d)"""
    bias = torch.zeros_like(padding.is_token, dtype=q.dtype).masked_fill(~padding.is_token, -torch.inf)
    q, k, v = (part[padding.rows] for part in (q, k, v))
    attended = _batched(q, k, v, rearrange(bias, "b m -> b 1 1 m"))
    return attended[padding.places]


def _batched(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """(b l heads d) each, and a bias (b 1 1 m) on the scores -> (b*l heads d)

    Called in every block of every evaluation, where einops and a needless autocast would show in small networks.
    """
    dtype = v.dtype
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # b heads l d
    if v.device.type == "cpu" and v.requires_grad and dtype.itemsize == 2:  # the backward pass would take four times
        q, k, v = q.float(), k.float(), v.float()
    bias = None if bias is None else bias.to(q.dtype)
    has_autocast = torch.is_autocast_enabled(v.device.type)
    with torch.autocast(v.device.type, enabled=False) if has_autocast else nullcontext():
        if q.device.type == "cpu" and q.dtype == torch.bfloat16 and bias is None and k.shape[2] <= _SHORT:
            attended = _in_products(q, k, v)
        else:
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return attended.to(dtype).transpose(1, 2).flatten(0, 1)


def _in_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention written out, (b heads l d): its 16-bit products take two thirds of the time of torch's CPU kernel.

    Without a mask: beside -10,000 a score of 16 bits would be lost.
    """
    return torch.matmul(torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2)).softmax(dim=-1), v)


def varlen_attention(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """Torch's own variable-length kernel (GPU, 16-bit); q, k, v (n heads head_dim) -> (n heads head_dim)"""
    from torch.nn.attention.varlen import varlen_attn

    output = varlen_attn(q, k, v, layout.bounds, layout.bounds, layout.longest, layout.longest)
    assert isinstance(output, Tensor)
    return output


def xformers_attention(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """Xformers' memory-efficient kernels with a block-diagonal mask (GPU)."""
    from xformers.ops import memory_efficient_attention

    mask = xformers_mask(layout)
    given: Tensor = memory_efficient_attention(q[None], k[None], v[None], attn_bias=mask)[0]
    return given


@functools.lru_cache(maxsize=64)
def xformers_mask(layout: Layout) -> object:
    """Xformers' description of a packed batch; on CPUs a test oracle for the other kernels."""
    from xformers.ops.fmha.attn_bias import BlockDiagonalMask

    return BlockDiagonalMask.from_seqlens(list(layout.lengths), device=layout.device)


def flash3_attention(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """FlashAttention 3's variable-length kernel (Hopper GPUs, 16-bit; arXiv 2407.08608)."""
    from flash_attn_interface import flash_attn_varlen_func

    output = flash_attn_varlen_func(q, k, v, layout.bounds, layout.bounds, layout.longest, layout.longest)
    given: Tensor = output[0] if isinstance(output, tuple) else output
    return given


def cudnn_attention(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """`grouped_attention` by cuDNN's kernels before all others, where they can (GPU, 16-bit)."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    others = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, *others], set_priority=True):
        return grouped_attention(q, k, v, layout)


KERNELS: dict[str, Kernel] = {
    "grouped": grouped_attention,
    "cudnn": cudnn_attention,
    "varlen": varlen_attention,
    "flash3": flash3_attention,
    "xformers": xformers_attention,
}


BATCHED = ("grouped", "cudnn")
"""Kernels that take a batch of one resolution as it is."""


def choose_kernel(device_type: str, dtype: torch.dtype, head_dim: int = 64, is_uniform: bool = False) -> str:
    """The kernel's name for packed batches, or for those of one resolution; ``PIXELFLOW_ATTENTION`` overrides it.

    Raises:
        UsageError: the variable names no kernel.
        MissingDependencyError: the kernel that it names cannot run here.
    """
    wanted = os.environ.get(BACKEND_VARIABLE, "auto")
    if wanted not in ("auto", *KERNELS):
        raise UsageError(f"{BACKEND_VARIABLE}={wanted} is unknown; use one of: auto, {', '.join(KERNELS)}")
    usable = [name for name, reason in available_kernels(device_type, dtype).items() if reason is None]
    if wanted != "auto" and wanted not in usable:
        reason = available_kernels(device_type, dtype)[wanted]
        raise MissingDependencyError(f"{BACKEND_VARIABLE}={wanted} cannot be used here: {reason}")
    if wanted != "auto":
        return wanted if wanted in BATCHED or not is_uniform else BATCHED[0]
    if len(usable) < 2:
        return usable[0]
    spent = kernel_speeds(device_type, dtype, head_dim)
    fit = {name: own for name, own in spent.items() if name in BATCHED or not is_uniform}
    return min(fit, key=lambda name: fit[name]) if fit else usable[0]


_chosen = functools.cache(choose_kernel)
_kernel: Callable[[str, torch.dtype, int, bool], str] = _chosen
"""The kernel's name, chosen once."""


def _named(device_type: str, dtype: torch.dtype, head_dim: int, is_uniform: bool) -> str:
    """`_kernel` where blocks are compiled, which takes plain functions alone."""
    return _chosen(device_type, dtype, head_dim, is_uniform)


def kernel_speeds(device_type: str, dtype: torch.dtype, head_dim: int = 64) -> dict[str, float]:
    """Milliseconds of every kernel that can run on the device with this dtype; see `attention_speed.measured`."""
    usable = [name for name, reason in available_kernels(device_type, dtype).items() if reason is None]
    return measured({name: KERNELS[name] for name in usable}, torch.device(device_type), dtype, head_dim)


def available_kernels(device_type: str, dtype: torch.dtype) -> dict[str, str | None]:
    """For each kernel None if it can run on the device with this dtype, else why it cannot."""
    reasons: dict[str, str | None] = dict.fromkeys(KERNELS)
    if device_type != "cuda":
        return reasons | dict.fromkeys(_MODULES, "needs a CUDA device")
    if dtype not in (torch.float16, torch.bfloat16):
        reasons |= dict.fromkeys(("cudnn", "varlen", "flash3"), "needs 16-bit precision (training.precision: bfloat16)")
    for name, module in _MODULES.items():
        if reasons[name] is None and not _importable(module):
            reasons[name] = f"{module} cannot be imported"
    return reasons


_MODULES = {
    "cudnn": "torch.nn.attention",
    "varlen": "torch.nn.attention.varlen",
    "flash3": "flash_attn_interface",
    "xformers": "xformers.ops",
}
"""Where the kernels come from that need a GPU."""


@functools.cache
def _importable(module: str) -> bool:
    import importlib

    try:
        importlib.import_module(module)
    except Exception:
        return False
    return True
