"""Which of several attention kernels is the fastest on a device: measured once, and kept for the next process."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from pixelflow.core.component import Settings
from pixelflow.core.packing import Layout
from pixelflow.system.cache import cache_folder
from pixelflow.system.errors import PixelflowError
from pixelflow.system.records import FileKind

logger = logging.getLogger(__name__)

Kernel = Callable[[Tensor, Tensor, Tensor, Layout], Tensor]

_LENGTHS = (*[64] * 4, *[256] * 4, *[1024] * 4, *[4096] * 4)
"""Tokens of the images of a batch: four of each stage of a cascade from 64 to 4,096."""
_HEADS = 16
_REPEATS = 5


class _Kept(Settings):
    milliseconds: dict[str, float]


_KEPT = FileKind("how long attention takes here", "it is measured anew", _Kept)


def measured(
    kernels: Mapping[str, Kernel], device: torch.device, dtype: torch.dtype, head_dim: int
) -> dict[str, float]:
    """Milliseconds of each kernel, forward and backward, on a packed batch of four resolutions.

    They are taken from PIXELFLOW_CACHE where these kernels were measured on such a device by this version of torch
    before. A kernel that fails is left out.
    """
    place = _place(kernels, device, dtype, head_dim)
    if place is not None and (kept := _kept(place)) is not None:
        return kept
    found = {}
    with torch.enable_grad():
        for name, kernel in kernels.items():
            with suppress(RuntimeError, TypeError, NotImplementedError):
                found[name] = _milliseconds(kernel, device, dtype, head_dim)
    if place is not None:
        with suppress(PixelflowError):
            _KEPT.write(place, {"milliseconds": found})
    return found


def _kept(place: Path) -> dict[str, float] | None:
    """What was measured before; None if nothing was, or, with a warning, if the file is damaged."""
    if not place.exists():
        return None
    try:
        return _Kept.model_validate(_KEPT.read(place)).milliseconds
    except PixelflowError as error:
        logger.warning("%s", error)
        return None


def _place(kernels: Mapping[str, Kernel], device: torch.device, dtype: torch.dtype, head_dim: int) -> Path | None:
    """Where the measurement is kept; None where nothing can be."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    told = json.dumps([name, torch.__version__, str(dtype), head_dim, sorted(kernels)])
    try:
        return cache_folder("attention") / f"{sha256(told.encode()).hexdigest()[:16]}.json"
    except PixelflowError:
        return None


def _milliseconds(kernel: Kernel, device: torch.device, dtype: torch.dtype, head_dim: int) -> float:
    lengths = _LENGTHS if device.type == "cuda" else _LENGTHS[:8]
    layout = Layout.of(lengths, device)
    shape = (layout.tokens, _HEADS, head_dim)
    q, k, v = (torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3))
    spent = []
    for _ in range(_REPEATS + 1):
        began = time.perf_counter()
        torch.autograd.grad(kernel(q, k, v, layout).sum(), (q, k, v))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent.append(1e3 * (time.perf_counter() - began))
    return min(spent[1:])
