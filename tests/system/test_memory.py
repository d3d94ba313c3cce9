"""Memory that runs out is told from bugs; every case that can be had here is real."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from pixelflow.system.errors import OutOfMemoryError
from pixelflow.system.memory import is_out_of_memory, memory_for

PETABYTES = 1 << 52


@pytest.mark.parametrize(
    "ask",
    [
        lambda: torch.empty(PETABYTES),
        lambda: bytearray(PETABYTES),
        lambda: torch.empty(PETABYTES, PETABYTES, device="meta"),
    ],
    ids=["torch", "python", "beyond all sizes"],
)
def test_what_does_not_fit_is_one_line(ask):
    with pytest.raises(OutOfMemoryError) as caught, memory_for("drawing", "lower batch_size"):
        ask()
    assert str(caught.value) == "out of memory drawing; lower batch_size"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ..."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
)
def test_devices_and_the_system_say_it_in_words(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory"), OSError(28, "full")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)), memory_for("drawing", "lower batch_size"):
        raise error
