"""A worker: takes one task after the other until none is left.

``python -m pixelflow.sweep.work.worker DIR PROCESSES [DEVICE]``. Many may work on one folder, also from several
commands.
A worker ends with whoever started it: when its standard input closes, it stops as on SIGTERM.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixelflow.sweep.work.agenda import Agenda
from pixelflow.sweep.work.ending import end_with_parent
from pixelflow.sweep.work.study import advance
from pixelflow.sweep.work.task import Task
from pixelflow.sweep.work.together import finish_together
from pixelflow.system import terminal
from pixelflow.system.device import choose_device
from pixelflow.system.errors import PixelflowError, PreemptedError
from pixelflow.system.files import opened_to_add
from pixelflow.system.machine import as_ours
from pixelflow.system.parallel import Parallel

_POLL = 0.2
"""Seconds between looks at what other workers have done."""


def work(folder: Path, device: str | None, processes: int = 1) -> None:
    """Do what can be done, until every task is done or failed, and a search has asked for its last trial.

    Args:
        processes: that do each task together.

    Raises:
        PreemptedError: SIGTERM came while training; the state is saved.
        SpecError: the evaluation does not give what is searched for.
    """
    agenda = Agenda(folder)
    while (left := agenda.left) or agenda.plan.trials_left:
        if not any(_attempted(task, folder, device, processes) for task in left) and not advance(agenda.plan, folder):
            time.sleep(_POLL)


def _attempted(task: Task, folder: Path, device: str | None, processes: int) -> bool:
    """Try to do a task; False where that must wait, or somebody else is at it."""
    if not task.is_ready:
        return False
    with task.claim.held() as is_mine:
        if not is_mine or task.is_done or task.failure is not None:
            return False
        with _logged(task.log):
            try:
                if processes == 1:
                    task.finish(Parallel(choose_device(device)))
                else:
                    finish_together(task, folder, device, processes)
            except PreemptedError:
                raise
            except Exception as error:
                terminal.say(*traceback.format_exc().splitlines())
                task.fail(str(as_ours(error) or f"{type(error).__name__}: {error}"))
    return True


@contextmanager
def _logged(file: Path) -> Iterator[None]:
    """Standard output and error go to a file, also those of native code."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = os.dup(1), os.dup(2)
    with opened_to_add(file) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for target, kept in enumerate(before, start=1):
            os.dup2(kept, target)
            os.close(kept)


def main(arguments: list[str]) -> None:
    """Work on a folder."""
    terminal.catch_log()
    end_with_parent()
    try:
        work(Path(arguments[0]), arguments[2] if len(arguments) > 2 else None, int(arguments[1]))
    except PixelflowError as error:
        terminal.say(*(f"pixelflow: {line}" for line in error.lines))
        os._exit(error.exit_code)
    os._exit(0)  # at once: the interpreter's own end would stumble over the thread that still reads


if __name__ == "__main__":
    main(sys.argv[1:])
