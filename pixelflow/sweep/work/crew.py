"""Running a sweep: start workers, watch them, replace those that die, and say what was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from pixelflow.core import reading
from pixelflow.core.spec import ExperimentSpec
from pixelflow.evaluation.measurement import prepare
from pixelflow.sweep.executors import Executor, Local
from pixelflow.sweep.executors.base import Ending, Worker
from pixelflow.sweep.points.plan import FILE, Plan
from pixelflow.sweep.work.agenda import Agenda
from pixelflow.sweep.work.study import JOURNAL, settle
from pixelflow.sweep.work.task import State, Task
from pixelflow.sweep.work.tasks import Evaluation
from pixelflow.sweep.work.worker import work
from pixelflow.system.errors import FailedTasksError, PixelflowError
from pixelflow.system.files import check_free

Say = Callable[[str], None]

_POLL = 0.25
_MOST_DEATHS = 3
"""So often each worker is replaced though no task is known to have killed it."""


def run(plan: Plan, folder: Path, executor: Executor, say: Say) -> None:
    """Do all that is not done yet; what failed before is tried again.

    Raises:
        FailedTasksError: some tasks failed; all others are done.
        MissingDependencyError: a search needs Optuna, or the executor its package, or a metric its weights.
        MissingInputError, UsageError, DataError: a metric lacks what else it needs.
        SpecError: the evaluation does not give what is searched for.
        PixelflowError: workers die before they do anything.
    """
    agenda = _prepared(plan, folder, say)
    most = len(agenda.left) + agenda.plan.trials_left
    if most:
        if isinstance(executor, Local):  # other machines have weights of their own
            _check_metrics(agenda)
        with executor.opened(), _employed(executor, folder, executor.count(most)) as crew:
            _watch(crew, agenda, say)
    if plan.search is not None:
        settle(agenda.plan, folder)
    _refuse_failures(agenda.tasks)


def _prepared(plan: Plan, folder: Path, say: Say) -> Agenda:
    """Put the plan into its folder, and let what failed be tried again.

    Raises:
        CannotWriteError: the folder is there and no sweep's.
    """
    if not any((folder / name).is_file() for name in (FILE, JOURNAL)):
        check_free(folder)
    if plan.search is None:
        plan.write(folder)
    else:
        plan = settle(plan, folder)
    agenda = Agenda(folder)
    for task in agenda.tasks:
        task.forget_damage()
        if task.state is State.FAILED:
            task.forget_failure()
    done = sum(task.is_done for task in agenda.tasks)
    to_come = f"; {plan.trials_left} of {plan.search.trials} trials to come" if plan.search else ""
    say(f"{folder}: {done} of {len(agenda.tasks)} tasks are done already{to_come}")
    return agenda


def _check_metrics(agenda: Agenda) -> None:
    """Look for what the evaluations need before anything is trained; raises as `prepare` does."""
    search = agenda.plan.search
    specs = [task.cell.spec for task in agenda.left if isinstance(task, Evaluation)]
    if search is not None:
        specs.append(reading.validate(ExperimentSpec, search.document))
    for settings in {spec.evaluation.model_dump_json(): spec.evaluation for spec in specs}.values():
        prepare(settings, torch.device("cpu"))


@dataclass
class Crew:
    """Workers on a sweep's folder."""

    executor: Executor
    folder: Path
    workers: list[Worker]
    deaths: int = 0
    """Of which no task is known to be the cause."""

    def attend(self, tasks: list[Task]) -> bool:
        """Replace workers that died; whether anybody has not come to the end of the work.

        Raises:
            PixelflowError: what a worker had to say, or that too many have died.
        """
        for index, worker in enumerate(self.workers):
            ending = worker.ending
            if ending is not None and ending.death is not None:
                self._blame(worker, ending, ending.death, tasks)
                self.workers[index] = self.executor.hire(work, self.folder, index, len(self.workers))
        return any(ending is None or ending.death is not None for ending in (one.ending for one in self.workers))

    def _blame(self, worker: Worker, ending: Ending, death: str, tasks: list[Task]) -> None:
        """Record the task at which a worker died."""
        pid = worker.pid
        undone = [task for task in tasks if pid and not task.is_done and task.claim.was_held_by(pid)]
        self.deaths += not undone
        if not undone and ending.error is not None:
            raise ending.error
        if self.deaths > _MOST_DEATHS * len(self.workers):
            raise PixelflowError(f"workers die before they do anything: the last {death}")
        for task in undone:
            with task.claim.held() as is_free:  # else another worker goes on with it already
                if is_free and task.failure is None:
                    task.fail(f"the worker {death}")


@contextmanager
def _employed(executor: Executor, folder: Path, count: int) -> Iterator[Crew]:
    """Workers, told to stop at the end and waited for."""
    crew = Crew(executor, folder, [])
    try:
        for index in range(count):
            crew.workers.append(executor.hire(work, folder, index, count))
        yield crew
    finally:
        working = [worker for worker in crew.workers if worker.ending is None]
        for worker in working:
            worker.stop()
        for worker in working:
            worker.wait()


def _watch(crew: Crew, agenda: Agenda, say: Say) -> None:
    """Report what becomes of the tasks, until all have ended."""
    told = {task.folder for task in agenda.tasks if task.is_done}
    is_staffed = True
    while is_staffed:
        time.sleep(_POLL)
        is_staffed = crew.attend(agenda.tasks)
        tasks = agenda.tasks
        known = len(tasks) + agenda.plan.trials_left
        for task in tasks:
            if task.folder not in told and (task.is_done or task.failure is not None):
                told.add(task.folder)
                say(f"{len(told)}/{known} {task.what}: {task.failure or 'done'}")


def _refuse_failures(tasks: list[Task]) -> None:
    undone = [task for task in tasks if not task.is_done]
    if undone:
        told = [f"{task.what}: {task.failure} (see {task.log})" for task in undone if task.failure and task.is_ready]
        told.append(f"{len(undone)} of {len(tasks)} tasks are not done; the same command tries them again")
        raise FailedTasksError(*told)
