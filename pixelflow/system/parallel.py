"""Several processes that work together, as one of them sees it.

Each trains on its share of every batch, and an engine (`system.engines`) makes gradients means over all of them; what
else is computed is dealt out by `spread`, and the first process writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from pixelflow.system.stopping import Stop, StopSignals

T = TypeVar("T")
Job = TypeVar("Job")


@dataclass(frozen=True)
class Parallel:
    """The processes that work together, seen from one of them; by default it is the only one."""

    device: torch.device
    rank: int = 0
    size: int = 1
    local_size: int = 1
    """Processes of this machine."""
    group: Any = None
    """The connections over which they speak; by default those that all share."""
    signals: StopSignals | None = None
    """Requests to stop, which end what is spread in all processes at once; see `answering`."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def answering(self, signals: StopSignals) -> Parallel:
        """The same, but a signal to any process raises `Stop` in all of them, in `spread` and `by_first`."""
        return replace(self, signals=signals)

    def apart(self) -> Parallel:
        """The same over connections of their own, for a thread; all processes come here together."""
        return replace(self, group=dist.new_group(backend="gloo")) if self.size > 1 else self

    def spread(self, jobs: Sequence[Job], work: Callable[[Job], T]) -> Iterator[T]:
        """What comes of the jobs, in their order, in the first process; the others do their share and get nothing.

        All come to each round together: where one has no job left, it does the last one again.
        """
        for start in range(0, len(jobs), self.size):
            job = jobs[min(start + self.rank, len(jobs) - 1)]
            yield from self._at_first(self._unless_stopped(lambda job=job: work(job)))[: len(jobs) - start]  # type: ignore[misc]

    def by_first(self, work: Callable[[], T]) -> T | None:
        """What the first process does while the others wait; None in these."""
        return self._unless_stopped(work if self.is_first else lambda: None)

    def led(self, lead: Callable[[], T], serve: Callable[[Any], None]) -> T | None:
        """What the first process does, with the others at its service; None in these.

        While it leads, it may `ask`: what it asks is handed to `serve` in the others. Between, a signal has to wait.
        """
        if self.size == 1:
            return self._unless_stopped(lead)
        if self.is_first:
            found = lead()
            self.ask(None)
            return found
        while (asked := self.ask(None)) is not None:
            serve(asked)
        return None

    def of_first(self, work: Callable[[], T]) -> T:
        """What the first process makes, in all."""
        made: object = work() if self.is_first else None
        return cast(T, self.ask(made))

    def ask(self, what: T) -> T:
        """What the first process asks, in all."""
        told = [what]
        if self.size > 1:
            dist.broadcast_object_list(told, group=self.group)
        return told[0]

    def _unless_stopped(self, work: Callable[[], T]) -> T:
        """Each does its work; a signal to any ends that of the one which got it at once, and then all."""
        if self.signals is None:
            found = [work()]
        else:
            found = []
            with suppress(Stop), self.signals.interruptible(alone=True):
                found.append(work())
            if self.any(self.signals.received is not None):
                self.signals.answer()
        return found[0]

    def gather(self, own: T) -> list[T]:
        """What each process has, in their order, in all of them."""
        found = [own] * self.size
        if self.size > 1:
            dist.all_gather_object(found, own, group=self.group)
        return found

    def _at_first(self, own: T) -> list[T]:
        """What each process has, in their order, in the first one; nothing in the others."""
        found = [own] * self.size if self.is_first else None
        if self.size > 1:
            dist.gather_object(own, found, group=self.group)
        return found or []

    def sum(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over all processes."""
        if self.size > 1:
            dist.all_reduce(tensor, group=self.group)

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all of them get the same answer. No device is waited for."""
        if self.size == 1:
            return flag
        raised = torch.tensor(float(flag))
        self.sum(raised)
        return bool(raised.item())

    def first_says(self, flag: bool) -> bool:
        """What the first process says, in all: of files, say, which others may see later."""
        return self.any(flag and self.is_first)

    def wait(self) -> None:
        """Go on only when every process has come here."""
        self.any(False)
