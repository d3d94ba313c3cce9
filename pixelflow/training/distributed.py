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

from pixelflow.core.device import choose_device


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


@contextmanager
def joined(device: str | None) -> Iterator[World]:
    """The world that torchrun's variables describe, left again at the end; a process alone is its own world.

    Raises:
        UsageError: there is no such device here.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(choose_device(device))
        return
    if device is None and torch.cuda.is_available():
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    own = choose_device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    # while the first process draws pictures or evaluates, the others wait for it
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=timedelta(days=1))
    try:
        yield World(own, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
