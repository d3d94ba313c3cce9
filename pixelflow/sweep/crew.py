"""Running a sweep: start workers, watch them, replace those that die, and say what was done."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from pixelflow.core.errors import FailedTasksError, PixelflowError
from pixelflow.sweep.plan import Plan
from pixelflow.sweep.tasks import State, Task, tasks_of

Say = Callable[[str], None]

_POLL = 0.25
_PATIENCE = 30.0
"""Seconds in which a worker that is told to stop must have saved its training."""


@dataclass(frozen=True)
class Worker:
    """A worker's process and the file that it prints to outside of tasks."""

    process: subprocess.Popen[bytes]
    log: Path


def run(plan: Plan, folder: Path, workers: int | None, say: Say) -> None:
    """Do all that is not done yet; what failed before is tried again.

    Args:
        workers: by default one a GPU, else one.

    Raises:
        FailedTasksError: some tasks failed; all others are done.
    """
    plan.write(folder)
    tasks = tasks_of(plan, folder)
    for task in tasks:
        if task.state is State.FAILED:
            task.forget_failure()
    left = [task for task in tasks if not task.is_done]
    say(f"{folder}: {len(tasks) - len(left)} of {len(tasks)} tasks are done already")
    if left:
        devices = _devices(workers, len(left))
        with _employed(folder, devices) as crew:
            _watch(crew, devices, tasks, left, say)
    _refuse_failures(tasks)


def _devices(workers: int | None, most: int) -> list[str | None]:
    """The device of each worker; None leaves the choice to torch."""
    gpus = torch.cuda.device_count()
    count = min(workers or gpus or 1, most)
    return [f"cuda:{index % gpus}" if gpus else None for index in range(count)]


@contextmanager
def _employed(folder: Path, devices: list[str | None]) -> Iterator[list[Worker]]:
    """Workers, told to stop at the end and waited for."""
    crew: list[Worker] = []
    try:
        for index in range(len(devices)):
            crew.append(_hired(folder, index, devices))
        yield crew
    finally:
        for worker in crew:
            assert worker.process.stdin is not None
            worker.process.stdin.close()
        for worker in crew:
            try:
                worker.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                worker.process.kill()


def _hired(folder: Path, index: int, devices: list[str | None]) -> Worker:
    """Start a worker, with its share of the processor's cores."""
    threads = max(1, _cores() // len(devices))
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "OMP_NUM_THREADS": str(threads)}
    device = devices[index]
    command = [sys.executable, "-m", "pixelflow.sweep.worker", str(folder), *([device] if device else [])]
    log = folder / f"worker-{index}.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the command, which then tells its workers
        )
    return Worker(process, log)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _watch(crew: list[Worker], devices: list[str | None], tasks: list[Task], left: list[Task], say: Say) -> None:
    """Report what becomes of the tasks, and replace workers that die, until nothing is left to do, or nobody."""
    folder = crew[0].log.parent
    is_staffed = True
    while left and is_staffed:
        time.sleep(_POLL)
        for index, worker in enumerate(crew):
            code = worker.process.poll()
            if code:
                _blame(worker, code, tasks)
                crew[index] = _hired(folder, index, devices)
        is_staffed = any(worker.process.poll() is None for worker in crew)
        ended = [task for task in left if task.is_done or task.failure is not None]
        left = [task for task in left if task not in ended]
        for task in ended:
            say(f"{len(tasks) - len(left)}/{len(tasks)} {task.what}: {task.failure or 'done'}")


def _blame(worker: Worker, code: int, tasks: list[Task]) -> None:
    """Record the task at which a worker died.

    Raises:
        PixelflowError: it died at none, so that another would die too.
    """
    claimed = [task for task in tasks if task.was_claimed_by(worker.process.pid) and not task.is_done]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    if not claimed:
        printed = worker.log.read_text("utf-8", errors="replace").splitlines() or ["it printed nothing"]
        raise PixelflowError(f"a worker {how} before it did anything: {printed[-1]}")
    for task in claimed:
        with task.claimed() as is_free:  # else another worker goes on with it already
            if is_free and task.failure is None:
                task.fail(f"the worker {how}")


def _refuse_failures(tasks: list[Task]) -> None:
    undone = [task for task in tasks if not task.is_done]
    if undone:
        told = [f"{task.what}: {task.failure} (see {task.log})" for task in undone if task.failure and task.is_ready]
        told.append(f"{len(undone)} of {len(tasks)} tasks are not done; the same command tries them again")
        raise FailedTasksError("\n".join(told))
