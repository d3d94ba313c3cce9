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
from pixelflow.sweep.agenda import Agenda
from pixelflow.sweep.plan import Plan
from pixelflow.sweep.study import settle
from pixelflow.sweep.tasks import State, Task

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
        MissingDependencyError: a search needs Optuna.
        SpecError: the evaluation does not give what is searched for.
    """
    agenda = _prepared(plan, folder, say)
    most = len(agenda.left) + agenda.plan.trials_left
    if most:
        devices = _devices(workers, most)
        with _employed(folder, devices) as crew:
            _watch(crew, devices, agenda, say)
    if plan.search is not None:
        settle(agenda.plan, folder)
    _refuse_failures(agenda.tasks)


def _prepared(plan: Plan, folder: Path, say: Say) -> Agenda:
    """Put the plan into its folder, and let what failed be tried again."""
    if plan.search is None:
        plan.write(folder)
    else:
        plan = settle(plan, folder)
    agenda = Agenda(folder)
    for task in agenda.tasks:
        if task.state is State.FAILED:
            task.forget_failure()
    done = sum(task.is_done for task in agenda.tasks)
    say(f"{folder}: {done} of {len(agenda.tasks)} tasks are done already{_to_try(plan)}")
    return agenda


def _to_try(plan: Plan) -> str:
    return f"; {plan.trials_left} of {plan.search.trials} trials to come" if plan.search else ""


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


def _watch(crew: list[Worker], devices: list[str | None], agenda: Agenda, say: Say) -> None:
    """Report what becomes of the tasks, and replace workers that die, until all have ended."""
    folder = crew[0].log.parent
    told = {task.folder for task in agenda.tasks if task.is_done}
    is_staffed = True
    while is_staffed:
        time.sleep(_POLL)
        for index, worker in enumerate(crew):
            code = worker.process.poll()
            if code:
                _blame(worker, code, agenda.tasks)
                crew[index] = _hired(folder, index, devices)
        is_staffed = any(worker.process.poll() is None for worker in crew)
        tasks = agenda.tasks
        for task in tasks:
            if task.folder not in told and (task.is_done or task.failure is not None):
                told.add(task.folder)
                say(f"{len(told)}/{len(tasks)} {task.what}: {task.failure or 'done'}{_to_try(agenda.plan)}")


def _blame(worker: Worker, code: int, tasks: list[Task]) -> None:
    """Record the task at which a worker died.

    Raises:
        PixelflowError: it died at none, so that another would die too.
    """
    claimed = [task for task in tasks if task.claim.was_held_by(worker.process.pid)]
    undone = [task for task in claimed if not task.is_done]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    if not undone and (code > 0 or not claimed):
        raise _last_words(worker, code, how)
    for task in undone:
        with task.claim.held() as is_free:  # else another worker goes on with it already
            if is_free and task.failure is None:
                task.fail(f"the worker {how}")


def _last_words(worker: Worker, code: int, how: str) -> PixelflowError:
    """The error with which a worker ended, as far as it said so."""
    printed = worker.log.read_text("utf-8", errors="replace").splitlines() or ["it printed nothing"]
    for kind in PixelflowError.__subclasses__():
        if kind.exit_code == code:
            return kind(printed[-1].removeprefix("pixelflow: "))
    return PixelflowError(f"a worker {how} before it did anything: {printed[-1]}")


def _refuse_failures(tasks: list[Task]) -> None:
    undone = [task for task in tasks if not task.is_done]
    if undone:
        told = [f"{task.what}: {task.failure} (see {task.log})" for task in undone if task.failure and task.is_ready]
        told.append(f"{len(undone)} of {len(tasks)} tasks are not done; the same command tries them again")
        raise FailedTasksError("\n".join(told))
