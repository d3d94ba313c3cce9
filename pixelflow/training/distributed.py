"""Several processes training one run, as ``torchrun`` starts them: each reads and trains on its share of every batch.

Gradients are averaged by hand in one collective a step, which works with accumulation and leaves the model as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from pixelflow.core.device import choose_device
from pixelflow.core.errors import LostPeerError, PixelflowError, UsageError, first_line
from pixelflow.training.peers import Peers
from pixelflow.training.stopping import killable


@dataclass(frozen=True)
class World:
    """The processes that train a run, seen from one of them; by default it is the only one."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over all processes."""
        if self.size > 1:
            dist.all_reduce(tensor)

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all of them get the same answer."""
        raised = torch.tensor(float(flag), device=self.device)
        self.sum(raised)
        return bool(raised.item())

    def wait(self) -> None:
        """Go on only when every process has come here."""
        self.any(False)

    @torch.no_grad()
    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace gradients by their mean over all processes; one without a gradient counts as zero."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        shares = (flat / self.size).split([gradient.numel() for gradient in gradients])
        for gradient, share in zip(gradients, shares, strict=True):
            gradient.copy_(share.view_as(gradient))


PATIENCE = timedelta(minutes=10)
"""How long processes wait for each other at the start."""
_LONGEST_WAIT = timedelta(days=1)
"""While the first process draws pictures or evaluates, the others wait for it; `Peers` knows if it is gone."""
_START = "start by: torchrun --nproc-per-node N -m pixelflow -- train SPEC; to train with one process, unset WORLD_SIZE"


@contextmanager
def joined(device: str | None) -> Iterator[World]:
    """The world that torchrun's variables describe, left again at the end; a process alone is its own world.

    Raises:
        UsageError: there is no such device here, or the variables are not whole.
        LostPeerError: another process did not come, or is gone.
    """
    if (size := _size()) == 1:
        yield World(choose_device(device))
        return
    rank = _number("RANK", range(size))
    if device is None and torch.cuda.is_available():
        device = f"cuda:{_number('LOCAL_RANK', range(size))}"
    own = choose_device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    peers = _met(own, rank, size)
    try:
        yield World(own, rank, size)
        peers.leave()
    except PixelflowError:
        raise
    except Exception as error:  # what a collective raises depends on backend, version and system
        if (lost := peers.error()) is not None:
            raise lost from error
        raise
    finally:
        dist.destroy_process_group()


def _met(device: torch.device, rank: int, size: int) -> Peers:
    """Meet the other processes at the address that the variables tell."""
    if not os.environ.get("MASTER_ADDR"):
        raise UsageError(f"MASTER_ADDR is not set, the address of the machine of process 0; {_START}")
    at = f"{os.environ['MASTER_ADDR']}:{_number('MASTER_PORT', range(2**16))} (MASTER_ADDR:MASTER_PORT)"
    try:
        with killable():
            store, _, _ = next(rendezvous("env://", rank, size, timeout=PATIENCE))
            peers = Peers(rank, size, store, PATIENCE)
            backend = "nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_LONGEST_WAIT)
    except (dist.DistError, OSError) as error:
        reason = first_line(error)
        if "EADDRINUSE" in reason:
            raise UsageError(f"{at} is used by another program; set another MASTER_PORT") from None
        raise LostPeerError(
            f"process {rank} of {size} met not all others at {at} within {PATIENCE.total_seconds():.0f} seconds; "
            f"start every process and see that this address can be reached ({reason})"
        ) from None
    return peers


def _size() -> int:
    """Processes that train together."""
    if "WORLD_SIZE" in os.environ:
        return _number("WORLD_SIZE", range(1, 2**31))
    if os.environ.get("RANK", "0") != "0":
        raise UsageError(f"WORLD_SIZE is not set, but RANK is {os.environ['RANK']!r}; {_START}")
    return 1


def _number(name: str, among: range) -> int:
    """An environment variable that holds a number."""
    value = os.environ.get(name)
    if value is None:
        raise UsageError(f"{name} is not set, but WORLD_SIZE is {os.environ['WORLD_SIZE']!r}; {_START}")
    if not (value.isascii() and value.isdigit() and len(value) < 12 and int(value) in among):
        raise UsageError(f"{name} is {value!r}, not a number from {among[0]} to {among[-1]}; {_START}")
    return int(value)
