"""A search while it runs: Optuna proposes trials and learns their values, every trial is a point of the sweep.

The course lies in the sweep's folder, in Optuna's journal. It is changed only under the folder's claim, so that any
number of workers may ask. The plan's points follow from the journal, and the values told to it from the cells' results:
a process that is killed between two steps leaves what the next one makes good. A proposal that was cut off while it
was written is dropped. Samplers are seeded by the search's seed and the number of trials before, so that one worker
finds the same trials however often it is stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

from pixelflow.sweep.points.plan import FILE, Plan
from pixelflow.sweep.points.points import Point, changed_spec
from pixelflow.sweep.points.search import Search
from pixelflow.sweep.points.space import Changes, Parameter, Range
from pixelflow.sweep.work.claims import Claim
from pixelflow.sweep.work.tasks import cells_of, tasks_of
from pixelflow.system.distribution import install
from pixelflow.system.errors import DataError, MissingDependencyError, PixelflowError
from pixelflow.system.files import read_bytes
from pixelflow.system.records import LARGEST, FileKind

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

JOURNAL = "optuna.journal"
"""The course of the search, within the sweep's folder; `optuna-dashboard` shows it."""


_KNOWN = "optuna.json"
"""How much of the journal is known, and its hash; what stands behind was written by a process that was then killed."""
_ANEW = f"remove {JOURNAL} and {_KNOWN}, and the search begins anew; points that it finds again are not repeated"


class _Known(BaseModel):
    bytes: int
    sha256: str


KNOWN = FileKind("what is known of a search's course", _ANEW, _Known)


def settle(plan: Plan, folder: Path) -> Plan:
    """Write the plan with all points tried so far, and tell the study all that was found.

    Raises:
        MissingDependencyError: Optuna is not installed.
        SpecError: the evaluation does not give what is searched for.
    """
    with Claim(folder).awaited():
        study = _study(plan, folder)
        plan = _taken_up(study, plan)
        _tell(study, plan, folder)
        _write(plan, folder)
    return plan


def advance(plan: Plan, folder: Path) -> bool:
    """Ask for another trial if a worker is free for it; whether there is one. Raises as `settle`."""
    if plan.search is None or not _has_room(plan, folder):
        return False
    with Claim(folder).held() as is_mine:
        if not is_mine:
            return False
        plan = Plan.read(folder)
        study = _study(plan, folder)
        plan = _taken_up(study, plan)
        _tell(study, plan, folder)
        is_asked = _has_room(plan, folder)
        if is_asked:
            study.ask(_space(plan))
            plan = _taken_up(study, plan)
        _write(plan, folder)
    return is_asked


def _write(plan: Plan, folder: Path) -> None:
    """Write the plan, and down to where the journal it follows from is known."""
    content = read_bytes(folder / JOURNAL, LARGEST)
    KNOWN.write(folder / _KNOWN, {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    for name in (FILE, _KNOWN):
        for draft in folder.glob(f".{name}.*.part"):  # of a process that was killed while writing
            draft.unlink(missing_ok=True)
    plan.write(folder)


def _has_room(plan: Plan, folder: Path) -> bool:
    """Whether no trial waits for a worker.

    Several that wait for one training would be proposed without knowing of each other.
    """
    tasks = tasks_of(plan, folder)
    waiting = [task for task in cells_of(tasks).values() if not task.is_done and task.failure is None]
    return plan.trials_left > 0 and len(waiting) <= sum(task.claim.is_held for task in tasks)


def _taken_up(study: optuna.Study, plan: Plan) -> Plan:
    """The plan with those trials of the study that are not in it."""
    from optuna.trial import TrialState

    assert plan.search is not None
    known = {point.trial for point in plan.points} | plan.refused.keys()
    for trial in study.get_trials(deepcopy=False):
        is_whole = trial.params.keys() == plan.search.parameters.keys()
        if is_whole and trial.number not in known:
            plan = _with_trial(plan, trial.number, _changes(plan.search, trial.params))
        if trial.state is TrialState.RUNNING and (not is_whole or trial.number in plan.refused):
            study.tell(trial.number, state=TrialState.FAIL)
    return plan


def _with_trial(plan: Plan, number: int, changes: Changes) -> Plan:
    assert plan.search is not None
    try:
        point = Point(changes, changed_spec(plan.search.document, changes, [f"trial {number}"] * len(changes)), number)
        return plan.with_points([point])
    except PixelflowError as error:
        return plan.model_copy(update={"refused": {**plan.refused, number: str(error)}})


def _tell(study: optuna.Study, plan: Plan, folder: Path) -> None:
    """The study learns the values of the plan's finished cells."""
    from optuna.trial import TrialState

    assert plan.search is not None
    cells = cells_of(tasks_of(plan, folder))
    for cell in cells.values():
        cell.forget_damage()
    done = {point.trial: cells[point.cell] for point in plan.points if cells[point.cell].is_done}
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        if trial.number in done:
            value = plan.search.objective.value(done[trial.number].measured.results)
            is_finite = math.isfinite(value)
            study.tell(trial.number, value if is_finite else None, None if is_finite else TrialState.FAIL)


def _study(plan: Plan, folder: Path) -> optuna.Study:
    """The study in the folder; a new one for a search that differs in more than its number of trials."""
    search = plan.search
    assert search is not None
    try:
        import optuna
    except ImportError:
        raise MissingDependencyError(f"a search needs the package optuna: {install('optuna')}") from None
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    class Claimed(JournalFileOpenLock):
        """Needs no lock of its own: the folder's claim is held."""

        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = folder / JOURNAL
    _mend(file)
    storage = JournalStorage(JournalFileBackend(str(file), Claimed(str(file))))
    study = optuna.create_study(
        storage=storage, study_name=search.key, direction=search.objective.direction, load_if_exists=True
    )
    whole = [trial for trial in study.get_trials(deepcopy=False) if trial.params.keys() == search.parameters.keys()]
    study.sampler = _sampler(search, len(whole))
    return study


def _check(file: Path, content: bytes) -> None:
    """See that what was known of a journal is as it was; raises DataError."""
    known = file.with_name(_KNOWN)
    if known.is_file():
        told = KNOWN.read(known)
        if hashlib.sha256(content[: told["bytes"]]).hexdigest() != told["sha256"]:
            raise DataError(f"{file}: is damaged or was changed (its hash does not fit); {_ANEW}")


def _mend(file: Path) -> None:
    """Cut off a line that was not written to its end; raises DataError where others are not what was written."""
    if file.exists():
        content = read_bytes(file, LARGEST)
        _check(file, content)
        if not content.endswith(b"\n"):
            os.truncate(file, content.rfind(b"\n") + 1)


def _sampler(search: Search, trial: int) -> BaseSampler:
    from optuna import samplers

    seed = int(np.random.SeedSequence([search.seed, trial]).generate_state(1)[0])
    makers = {"tpe": samplers.TPESampler, "random": samplers.RandomSampler, "gp": samplers.GPSampler}
    sampler: BaseSampler = makers[search.sampler](seed=seed)
    return sampler


def _space(plan: Plan) -> dict[str, BaseDistribution]:
    assert plan.search is not None
    return {key: _distribution(parameter) for key, parameter in plan.search.parameters.items()}


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(parameter, Range):
        return CategoricalDistribution([_name(value) for value in parameter])
    if parameter.is_whole:
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, int(parameter.step or 1))
    return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)


def _changes(search: Search, proposed: dict[str, object]) -> Changes:
    """What a trial's values mean to the spec, in the order of the sweep's file."""
    changes: Changes = {}
    for key, parameter in search.parameters.items():
        value = proposed[key]
        if not isinstance(parameter, Range):
            value = next(choice for choice in parameter if _name(choice) == value)
        changes[key] = value
    return changes


def _name(choice: object) -> str:
    """A choice as Optuna keeps it."""
    return choice if isinstance(choice, str) else json.dumps(choice, sort_keys=True)
