"""Workers as jobs of SLURM, through submitit, on machines that share the sweep's folder."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pixelflow.core.component import Count
from pixelflow.sweep.executors.base import Ending, Executor, Job, Worker
from pixelflow.system.distribution import install
from pixelflow.system.errors import MissingDependencyError, PixelflowError, UsageError
from pixelflow.system.files import read_end

if TYPE_CHECKING:
    import submitit
    from submitit.helpers import DelayedSubmission


_PATIENCE = 30.0
"""Seconds in which a worker must have saved: so long SLURM waits for a job that it has told to end."""
_SAID = 1 << 16
"""Bytes of what a job printed that are looked at, from the end."""


class Shift:
    """What SLURM runs: a worker in a process of its own, which saves before the job's time is over.

    Submitit then raises SystemExit here, wherever this process is, and queues the job again.
    """

    def __init__(self, job: Job, processes: int) -> None:
        self._job, self._processes = job, processes

    def __call__(self, folder: Path) -> None:
        command = [sys.executable, "-m", self._job.__module__, str(folder), str(self._processes)]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            code = worker.wait()
        finally:
            assert worker.stdin is not None
            worker.stdin.close()
            try:
                worker.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                worker.kill()
        if code:
            raise PixelflowError(_told(code))

    def checkpoint(self, folder: Path) -> DelayedSubmission:
        """The same once more: it goes on with what is there."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, folder)


def _told(code: int) -> str:
    """The last line that the worker of this job printed."""
    import submitit

    printed = read_end(submitit.JobEnvironment().paths.stderr, _SAID).decode("utf-8", "replace")
    said = [line for line in printed.splitlines() if line.startswith("pixelflow: ")]
    return said[-1].removeprefix("pixelflow: ") if said else f"the worker ended with code {code}"


class SlurmWorker(Worker):
    """A job."""

    def __init__(self, job: submitit.Job[None]) -> None:
        self._job = job

    @property
    def ending(self) -> Ending | None:
        if not self._job.done():
            return None
        error = self._job.exception()
        return Ending() if error is None else Ending(f"was lost as job {self._job.job_id} ({_reason(error)})")

    def stop(self) -> None:
        self._job.cancel(check=False)

    def wait(self) -> None:
        """The scheduler ends it in its own time; its claims end with it."""


class Slurm(Executor):
    """Jobs of SLURM; by default one."""

    type: Literal["slurm"] = "slurm"
    cluster: Literal["slurm", "local"] = "slurm"
    """``local`` runs the jobs on this machine, to try the settings."""
    minutes: Count = 240
    """Time of a job; one that is not through is queued again."""
    partition: str | None = None
    """Where jobs are queued; by default the cluster's own choice."""
    cpus: Count = 4
    """Cores of a job."""
    gpus: int = Field(default=0, ge=0)
    """GPUs of a job."""
    memory: float | None = Field(default=None, gt=0)
    """Memory of a job in GB; by default the cluster's own choice."""
    options: dict[str, object] = Field(default={})
    """Further options of sbatch, by name: ``{account: mine, constraint: a100}``."""

    @contextmanager
    def opened(self) -> Iterator[None]:
        try:
            import submitit  # noqa: F401 - before anything starts
        except ImportError:
            raise MissingDependencyError(f"executor slurm needs the package submitit: {install('slurm')}") from None
        yield

    def count(self, most: int) -> int:
        return min(self.workers or 1, most)

    def hire(self, job: Job, folder: Path, index: int, count: int) -> SlurmWorker:
        executor = self._executor(folder / "slurm")
        return SlurmWorker(executor.submit(Shift(job, self.processes), folder.resolve()))

    def _executor(self, logs: Path) -> submitit.AutoExecutor:
        import submitit

        try:
            executor = submitit.AutoExecutor(logs, cluster=self.cluster)
        except RuntimeError as error:
            raise UsageError(f"executor slurm: {_last_line(error)}; is this a machine of the cluster?") from None
        executor.update_parameters(
            name=f"pixelflow-{logs.parent.name}",
            timeout_min=self.minutes,
            cpus_per_task=self.cpus,
            gpus_per_node=self.gpus,
            slurm_additional_parameters=self.options,
            **{"slurm_partition": self.partition} if self.partition else {},
            **{"mem_gb": self.memory} if self.memory else {},
        )
        return executor


def _reason(error: BaseException) -> str:
    """What a job raised, of the traceback that submitit makes a message of."""
    raised: list[str] = re.findall(r"^[\w.]+Error: (.+)$", str(error), re.MULTILINE)
    return raised[-1] if raised else _last_line(error)


def _last_line(error: BaseException) -> str:
    return ([line for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1].strip()
