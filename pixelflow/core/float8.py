"""Linear layers in 8 bits for sampling, on GPUs whose products of such numbers are twice as fast (by torchao)."""

from __future__ import annotations

import torch
from torch import nn

from pixelflow.core.interfaces import Backbone
from pixelflow.system.distribution import install
from pixelflow.system.errors import MissingDependencyError, UsageError

_SETTING = "sampling.precision float8"
_LEAST = (8, 9)
"""CUDA compute capability from which on there are such products: Ada, Hopper and later ones."""


def convert(backbone: Backbone) -> None:
    """Give the linear layers in a backbone's blocks weights of 8 bits, in place.

    Weights have one scale a row of their outputs, tokens one each, taken anew at every call. What is not a multiple
    of 16 wide stays as it is, and so does what computes adaLN's modulation, which one row an image passes.

    Raises:
        UsageError: the device has no such products, or the backbone does not run in 16 bits.
        MissingDependencyError: torchao is not installed, or does not work here.
    """
    if (reason := lacking(next(backbone.parameters()).device)) is not None:
        raise UsageError(f"{_SETTING} {reason}; use bfloat16")
    if not backbone.runs_in_16_bits:
        raise UsageError(f"{_SETTING}: the backbone {backbone.type_name()} does not run in 16 bits; use bfloat16")
    try:
        from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_
    except ImportError as error:
        raise MissingDependencyError(f"{_SETTING} needs the package torchao: {install('float8')} ({error})") from None
    # its inductor settings would hold for the whole process, and turn TF32 on in it
    how = Float8DynamicActivationFloat8WeightConfig(granularity=PerRow(), set_inductor_config=False)
    for part in backbone.compiled_parts:
        quantize_(part, how, _every_token_passes)


def lacking(device: torch.device) -> str | None:
    """Why a device cannot multiply numbers of 8 bits; None if it can."""
    if device.type != "cuda":
        return f"needs a GPU, and this is the {device.type}"
    found = torch.cuda.get_device_capability(device)
    if found < _LEAST:
        return f"needs a GPU of compute capability {_LEAST[0]}.{_LEAST[1]} or more, and this has {found[0]}.{found[1]}"
    return None


def _every_token_passes(module: nn.Module, name: str) -> bool:
    return isinstance(module, nn.Linear) and "modulation" not in name
