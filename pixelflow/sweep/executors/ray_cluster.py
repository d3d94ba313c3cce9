"""Workers on a Ray cluster (Moritz et al., OSDI 2018), whose machines share the sweep's folder."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pixelflow.sweep.executors.base import Ending, Executor, Job, Worker
from pixelflow.system.distribution import install
from pixelflow.system.errors import MissingDependencyError, PixelflowError, PreemptedError, UsageError, first_line

if TYPE_CHECKING:
    import ray

_PATIENCE = 10.0
"""Seconds that the machine at an address may take to answer."""


class RayWorker(Worker):
    """A task of the cluster."""

    def __init__(self, task: ray.ObjectRef[None]) -> None:
        self._task = task

    @property
    def ending(self) -> Ending | None:
        import ray

        done, _ = ray.wait([self._task], timeout=0)
        if not done:
            return None
        try:
            ray.get(self._task)
        except PreemptedError as error:
            return Ending(f"was stopped: {_cause(error)}")
        except PixelflowError as error:
            return Ending("ended with an error", _cause(error))
        except ray.exceptions.RayError as error:  # its machine or its process is gone
            return Ending(f"was lost ({type(error).__name__})")
        return Ending()

    def stop(self) -> None:
        import ray

        ray.cancel(self._task, force=True)

    def wait(self) -> None:
        import ray

        ray.wait([self._task], timeout=5)


class Ray(Executor):
    """Tasks of a Ray cluster; by default as many as it has room for."""

    type: Literal["ray"] = "ray"
    address: str | None = None
    """Of the cluster: ``HOST:PORT``, or ``auto`` for the one that this machine is in; by default this machine alone."""
    cpus: float = Field(default=1, gt=0)
    """Cores of a worker."""
    gpus: float = Field(default=0, ge=0)
    """GPUs of a worker."""

    @contextmanager
    def opened(self) -> Iterator[None]:
        try:
            import ray
        except ImportError:
            raise MissingDependencyError(f"executor ray needs the package ray: {install('ray')}") from None
        _check_that_somebody_answers(self.address)
        try:
            ray.init(address=self.address or "local", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise _unreachable(self.address, first_line(error)) from None
        try:
            yield
        finally:
            ray.shutdown()

    def count(self, most: int) -> int:
        import ray

        found = ray.cluster_resources()
        room = [found.get("CPU", 0) // self.cpus, *([found.get("GPU", 0) // self.gpus] if self.gpus else [])]
        return min(self.workers or max(1, int(min(room))), most)

    def hire(self, job: Job, folder: Path, index: int, count: int) -> RayWorker:
        import ray

        task = ray.remote(job).options(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0, name=f"worker-{index}")
        return RayWorker(task.remote(folder.resolve(), None, self.processes))


def _check_that_somebody_answers(address: str | None) -> None:
    """Raise UsageError if nobody listens at ``HOST:PORT``, which Ray itself would notice after minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from None


def _unreachable(address: str | None, why: str) -> UsageError:
    return UsageError(
        f"executor.address: no Ray cluster answers at {address} ({why}); start one there (ray start --head), "
        "or set the address of one that runs"
    )


def _cause(error: PixelflowError) -> PixelflowError:
    """The error as it was raised, without what Ray tells of its way here."""
    import ray

    cause: PixelflowError = getattr(error, "cause", error) if isinstance(error, ray.exceptions.RayTaskError) else error
    return cause
