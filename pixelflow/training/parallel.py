"""Several processes that train together, as one of them sees it: the one seam to torch's engines for that.

Each reads and trains on its share of every batch; `wrap` makes gradients means over all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


class _Idle(nn.Module):
    """A module beside a parameter that nothing uses: without one, torch warns that it looks for such in vain."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.idle = nn.Parameter(torch.zeros((), device=next(inner.parameters()).device))

    def forward(self, *given: Any) -> Any:
        return self.inner(*given)


@dataclass(frozen=True)
class Parallel:
    """The processes that train a run, seen from one of them; by default it is the only one."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def wrap(self, objective: nn.Module) -> nn.Module:
        """The module to call in place of the objective, under `summing`.

        A parameter that no process has a gradient for has none afterwards either, as with one process; where only some
        have one, the others count as zero.
        """
        if self.size == 1:
            return objective
        with warnings.catch_warnings():  # newer versions of torch call broadcast_buffers otherwise
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(
                _Idle(objective), gradient_as_bucket_view=True, broadcast_buffers=False, find_unused_parameters=True
            )

    @contextmanager
    def summing(self, wrapped: nn.Module, part: int, parts: int) -> Iterator[None]:
        """Within, one part of a step runs forward and backward; the last one's backward pass averages the gradients."""
        if not isinstance(wrapped, DistributedDataParallel):
            yield
            return
        with nullcontext() if part == parts - 1 else wrapped.no_sync():
            yield

    def written(self, compute: Callable[[], T], write: Callable[[T], None]) -> None:
        """Every process computes, since what it computes may be spread over all; the first writes; all wait for it."""
        found = compute()
        if self.is_first:
            write(found)
        self.wait()

    def sum(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over all processes."""
        if self.size > 1:
            dist.all_reduce(tensor)

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all of them get the same answer."""
        if self.size == 1:  # nobody to ask, and a device need not be waited for
            return flag
        raised = torch.tensor(float(flag), device=self.device)
        self.sum(raised)
        return bool(raised.item())

    def wait(self) -> None:
        """Go on only when every process has come here."""
        self.any(False)
