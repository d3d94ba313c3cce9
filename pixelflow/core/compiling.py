"""Compiling a network's repeated blocks: whether it pays, where the result is kept, and saying so where it is not done.

torch.compile takes from ten seconds to minutes before the first step. What it made is kept on disk for the next run,
in the folder ``compiled`` of PIXELFLOW_CACHE.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch

from pixelflow.core.attention import mark_for_compiling
from pixelflow.core.component import Compile
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Backbone
from pixelflow.core.packing import Joint, Layout
from pixelflow.system.cache import cache_folder
from pixelflow.system.errors import PixelflowError

_EAGER = {"cpu": 5e10, "cuda": 5e13}
"""FLOP/s that blocks reach uncompiled: of one CPU thread (measured: 3e10 to 1e11), and of a large GPU (8e13)."""
_LEAST_SECONDS = {"cpu": 3600.0, "cuda": 120.0}
"""Work from which on it pays: a CPU saves a tenth to a quarter of it and compiles for a minute or two, a GPU saves two
thirds of it."""
_FIXED = {"cuda"}
"""Devices on which the first kinds of batches have graphs for their very sizes. On an H200 norms and rotations took
24 % of a training step of the paper's XL/4, most likely with sizes left open, and 8 % of the time of a block compiled
for its own. No GPU has run a whole model this way yet. On CPUs it would cost more than it saves to compile again."""
_BACKEND = "inductor"
_LAYOUTS = 64
"""Kinds of batches (sizes that cannot be told apart by a number alone) that compiled blocks are made for."""

logger = logging.getLogger(__name__)


def pays(wanted: Compile, flop: float, device: torch.device) -> bool:
    """Whether to compile for work of so many floating-point operations; depends on the work and device alone.

    What is wanted and cannot be had is said, and left out.
    """
    if wanted == "auto":
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        rate, least = _EAGER.get(device.type), _LEAST_SECONDS.get(device.type)
        wanted = rate is not None and least is not None and flop / (rate * threads) >= least
    if wanted and (reason := lacking(device)) is not None:
        logger.warning("blocks are not compiled: %s", reason)
        return False
    return wanted


@cache
def lacking(device: torch.device) -> str | None:
    """What torch.compile needs and does not find here; None if it can work."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return None if has_triton() else "torch.compile needs triton on this GPU; pip install triton"
    if device.type != "cpu":
        return f"torch.compile is not tried on devices of type {device.type}"
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "torch.compile needs a C++ compiler, such as g++"
    return None


def compile_parts(backbone: Backbone) -> None:
    """Compile a backbone's parts in place; they are really compiled when they first meet a kind of batch."""
    keep_on_disk()
    mark_for_compiling()
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _LAYOUTS)
    _tell_of_fallbacks()
    # of functions that depend on their arguments alone, such as the layout of a packed batch
    warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools.lru_cache`", UserWarning)
    has_fixed = next(backbone.parameters()).device.type in _FIXED
    for part in backbone.compiled_parts:
        if has_fixed:
            own, shared = (torch.compile(part._call_impl, backend=_BACKEND, dynamic=kind) for kind in (False, None))
            part._compiled_call_impl = partial(_called, own, shared)
        else:
            part.compile(backend=_BACKEND)


def _called(own: Callable[..., Any], shared: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """A part, by a graph of this kind of batch alone, or by one of all kinds.

    The latter where there are too many kinds, or none is known, or the length of text differs from batch to batch.
    """
    layouts = [one for one in given if isinstance(one, Layout)]
    is_rare = not layouts or any(one.is_one_of_many for one in layouts)
    has_text = any(isinstance(one, Joint) or (isinstance(one, Condition) and one.tokens is not None) for one in given)
    return (shared if is_rare or has_text else own)(*given, **named)


def keep_on_disk() -> None:
    """Have torch keep what it compiles in our cache, unless the user has told it where to."""
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        try:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_folder("compiled"))
        except PixelflowError as error:
            logger.warning("what is compiled is kept in torch's own place: %s", error)


@cache
def _tell_of_fallbacks() -> None:
    """Once blocks have met too many kinds of batches, torch runs new ones as they are: this is said, in our words."""
    logging.getLogger("torch._dynamo.convert_frame").addFilter(_in_our_words)


def _in_our_words(record: logging.LogRecord) -> bool:
    if "recompile_limit" not in record.getMessage():
        return True
    logger.warning("compiled blocks have met %d kinds of batches; further kinds run without being compiled", _LAYOUTS)
    return False


def graphs() -> int:
    """Graphs that this process has compiled so far; each costs seconds."""
    from torch._dynamo.utils import counters

    found: int = counters["stats"]["unique_graphs"]
    return found
