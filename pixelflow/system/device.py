"""Choosing the device to compute on."""

from __future__ import annotations

import torch

from pixelflow.system.errors import UsageError


def choose_device(name: str | None = None) -> torch.device:
    """The named torch device; by default the first GPU, else the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):  # what torch raises depends on how it was built
        device = torch.device("meta")
    if device.type == "meta":  # computes shapes only
        raise UsageError(f"device {name!r} is not to be had here; leave it out, or use cpu")
    return device
