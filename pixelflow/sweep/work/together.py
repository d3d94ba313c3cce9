"""One task by several processes, one a GPU, which a worker starts as torchrun would.

``python -m pixelflow.sweep.work.together SWEEP TASK [DEVICE]``, where the variables tell each process its place. What
goes wrong they record themselves, and like a worker they stop as on SIGTERM when their standard input closes.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pixelflow.sweep.work.agenda import Agenda
from pixelflow.sweep.work.ending import end_with_parent
from pixelflow.sweep.work.task import Task
from pixelflow.system import terminal
from pixelflow.system.distributed import joined
from pixelflow.system.errors import LostPeerError, PixelflowError, PreemptedError
from pixelflow.system.machine import as_ours

Processes = Sequence[subprocess.Popen[bytes]]

_PATIENCE = 30.0
"""Seconds in which processes that are told to stop must have saved: as SLURM gives to what it ends."""


def finish_together(task: Task, folder: Path, device: str | None, count: int) -> None:
    """Do a task of a sweep's folder by `count` processes; it is done or has failed afterwards.

    Raises:
        PreemptedError: SIGTERM came; what was done is kept.
        PixelflowError: a process was killed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
    command = [sys.executable, "-m", __name__, str(folder), task.folder.name, *([device] if device else [])]
    ranks = ({"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count))
    started = [
        subprocess.Popen(command, env=os.environ | place | own, stdin=subprocess.PIPE, start_new_session=True)
        for own in ranks
    ]
    with _stopped_with_this_one(started):
        codes = [process.wait() for process in started]
    if task.is_done or task.failure is not None:
        return
    if PreemptedError.exit_code in codes:
        raise PreemptedError(f"{task.what}: stopped and saved; the same command goes on")
    gone = {rank: code for rank, code in enumerate(codes) if code not in (0, LostPeerError.exit_code)}
    rank, code = next(iter((gone or dict(enumerate(codes))).items()))
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    raise PixelflowError(f"process {rank} of {count} {how}")


@contextmanager
def _stopped_with_this_one(started: Processes) -> Iterator[None]:
    """Within, SIGTERM to this process stops the others, which save.

    Whatever ends this one's waiting for them, they are through when it goes on and lets go of the task's claim.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        _let_go(started)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _let_go(started)
        until = time.monotonic() + _PATIENCE
        for process in started:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


def _let_go(started: Processes) -> None:
    for process in started:
        if process.stdin is not None:
            process.stdin.close()


def main(arguments: list[str]) -> None:
    """One of the processes."""
    terminal.catch_log()
    end_with_parent()
    folder, name, *device = arguments
    task = next(task for task in Agenda(Path(folder)).tasks if task.folder.name == name)
    try:
        with joined(device[0] if device else None) as parallel:
            task.finish(parallel)
    except (PreemptedError, LostPeerError) as error:
        terminal.say(f"pixelflow: {error}")
        os._exit(error.exit_code)
    except Exception as error:
        terminal.say(*traceback.format_exc().splitlines())
        task.fail(str(as_ours(error) or f"{type(error).__name__}: {error}"))
        os._exit(PixelflowError.exit_code)
    os._exit(0)  # as a worker does


if __name__ == "__main__":
    main(sys.argv[1:])
