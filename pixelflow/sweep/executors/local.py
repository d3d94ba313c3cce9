"""Workers on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import torch

from pixelflow.core.component import Count
from pixelflow.sweep.executors.base import Ending, Executor, Job, Worker
from pixelflow.system.errors import PixelflowError, PreemptedError
from pixelflow.system.files import opened_to_add, read_end

_PATIENCE = 30.0
"""Seconds in which a worker that is told to stop must have saved its training."""
_SAID = 1 << 16
"""Bytes of what a worker printed that are looked at, from the end."""


class LocalWorker(Worker):
    """A process and the file that it prints to outside of tasks."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def ending(self) -> Ending | None:
        code = self.process.poll()
        if not code:
            return None if code is None else Ending()
        if code < 0:
            return Ending(f"was killed by signal {-code}")
        printed = read_end(self._log, _SAID).decode("utf-8", "replace").splitlines() or ["it printed nothing"]
        for kind in PixelflowError.__subclasses__():
            if kind.exit_code == code and kind is not PreemptedError:
                return Ending(f"ended with code {code}", kind(printed[-1].removeprefix("pixelflow: ")))
        return Ending(f"ended with code {code}: {printed[-1]}")

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self) -> None:
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()

    @property
    def pid(self) -> int:
        return self.process.pid


class Local(Executor):
    """Processes of this machine; by default as many as its GPUs are enough for, else one."""

    type: Literal["local"] = "local"
    threads: Count = 1
    """CPU threads of a worker. Last digits of figures hang on it, so it never follows from the number of workers."""

    def count(self, most: int) -> int:
        return min(self.workers or torch.cuda.device_count() // self.processes or 1, most)

    def hire(self, job: Job, folder: Path, index: int, count: int) -> LocalWorker:
        gpus = torch.cuda.device_count()
        device = [f"cuda:{index % gpus}"] if gpus and self.processes == 1 else []
        seen = {"CUDA_VISIBLE_DEVICES": _gpus_of(index, self.processes, gpus)} if gpus and self.processes > 1 else {}
        log = folder / f"worker-{index}.txt"
        log.unlink(missing_ok=True)
        with opened_to_add(log) as output:
            process = subprocess.Popen(
                [sys.executable, "-m", job.__module__, str(folder), str(self.processes), *device],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **seen, "OMP_NUM_THREADS": str(self.threads)},
                start_new_session=True,  # Ctrl-C is for the command, which then tells its workers
            )
        return LocalWorker(process, log)


def _gpus_of(index: int, processes: int, count: int) -> str:
    """The GPUs of a worker whose tasks take several, as CUDA names them: those that this command may use, in turn."""
    known = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    own = known.split(",")
    return ",".join(own[(index * processes + place) % len(own)] for place in range(processes))
