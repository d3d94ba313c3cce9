"""``pixelflow train``: make a run or go on with it, and say how it ended."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from pixelflow.core.assembly import build_dataset, resolve
from pixelflow.core.interfaces import Dataset
from pixelflow.core.spec import ExperimentSpec
from pixelflow.data.surveys import told
from pixelflow.runs import checkpoint
from pixelflow.runs.history import History
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system import terminal
from pixelflow.system.errors import PreemptedError, UsageError
from pixelflow.system.files import check_writable
from pixelflow.system.memory import memory_for
from pixelflow.system.parallel import Parallel
from pixelflow.system.stopping import Stop, StopSignals
from pixelflow.training import initial, rates
from pixelflow.training.known_classes import with_classes_of
from pixelflow.training.loop import Callback, Trainer

COURSE = ("training.steps", "training.decay_end", "training.phases")
"""Keys that may change if the learning rates of the steps that are done stay what they were."""
CHANGEABLE = (
    *COURSE,
    "name",
    "conditioners.*.cache",
    "sampling",
    "evaluation",
    "training.threads",
    "training.parallel",
    "training.workers",
    "training.activation_checkpointing",
    "training.compile",
    "training.log_every",
    "training.save_every",
    "training.keep",
    "training.sample_every",
    "training.power_ema.every",
    "training.held_out.every",
    "training.held_out.images",
    "training.samples",
    "training.prompts",
    "training.labels",
    "training.trackers",
    "training.bad_images",
)
"""Keys, or what they begin with, that may change while a run goes on: they do not alter what a step does.

So may the data's paths; see `_places`.
"""

_RATE = {"training.learning_rate", "training.warmup", "training.lr_schedule"}
_OTHER_RATE = (
    "; another learning rate from some step on is a phase: training.phases=[{start: STEP, learning_rate: RATE}]"
)
_SHOWN = 3
_LESS_MEMORY = (
    "set training.activation_checkpointing=true, with which a run can go on; or, for a new run, "
    "raise training.grad_accumulation or lower training.batch_size"
)


def train(
    spec: ExperimentSpec, folder: Path, parallel: Parallel, signals: StopSignals, callbacks: Sequence[Callback] = ()
) -> RunFolder:
    """Train `spec` in `folder` up to its last step, from the newest checkpoint if there is one.

    Args:
        callbacks: called after every step, in this process.

    Raises:
        UsageError: the folder holds a run of another spec, or is being trained by another process; or the batch
            cannot be shared evenly by the processes that train together; or the run to start from does not fit.
        PreemptedError: SIGTERM came; the state is saved.
        KeyboardInterrupt: Ctrl-C came; the state is saved.
        NonFiniteError, DataError, MissingInputError, CannotWriteError: see `Trainer.train`.
        OutOfMemoryError: a step does not fit into memory; the last checkpoint stands.
    """
    if parallel.size > 1:
        signals.together()
    if spec.training.threads:
        torch.set_num_threads(spec.training.threads)
    say = terminal.say if parallel.is_first else terminal.be_silent
    if parallel.is_first:
        check_writable(folder)
    dataset = build_dataset(spec)
    say(told(dataset))
    if (folder / "spec.yaml").exists():
        dataset = _data_of(RunFolder(folder), spec, dataset, say)
    spec = resolve(spec, dataset)
    _check_shares(spec, parallel)
    if not checkpoint.steps(folder / "checkpoints"):
        initial.check(spec)
    with opened(folder, spec, dataset.classes, parallel) as run, memory_for("training", _LESS_MEMORY):
        trainer = Trainer(run, spec, dataset, parallel, signals, callbacks)
        step, is_finished = trainer.state.step, parallel.first_says(trainer.is_finished)
        if is_finished:
            say(f"{run.path} is finished: {step} steps; {_further(spec, step)}")
            return run
        say(f"{run.path}: {'continuing after' if step else 'starting at'} step {step} of {spec.training.steps}")
        if (course := rates.told(spec.training, step)) is not None:
            say(course)
        if trainer.inherited and parallel.is_first:
            terminal.say(*trainer.inherited.lines())
            trainer.inherited.write(run.init_file)
        try:
            trainer.train()
        except Stop:
            _end_early(f"{run.path}: stopped after step {trainer.state.step} and saved", signals.received)
        say(f"finished {spec.training.steps} steps; the run is in {run.path}, its pictures in {run.samples}")
    return run


def _data_of(run: RunFolder, spec: ExperimentSpec, dataset: Dataset, say: Callable[[str], None]) -> Dataset:
    """The data of a run that goes on, with its own labels; raises DataError where these cannot be told.

    Another spec is refused first: its data may well have other classes.
    """
    _refuse_other_spec(run, run.read_spec(), spec, ignored="conditioners.")
    return with_classes_of(run, dataset, say)


@contextmanager
def opened(folder: Path, spec: ExperimentSpec, classes: tuple[str, ...], parallel: Parallel) -> Iterator[RunFolder]:
    """The run, made and locked by the first process before the others open it."""
    if not parallel.is_first:
        parallel.wait()
        yield RunFolder(folder)
        return
    run = open_run(folder, spec, classes)
    with run.locked():
        _note_resume(run, spec)
        if (before := run.read_spec()) != spec:
            _note_change(run, before, spec)
            run.write_spec(spec)
        run.clean()
        parallel.wait()
        yield run


def _note_change(run: RunFolder, before: ExperimentSpec, now: ExperimentSpec) -> None:
    """Keep for later readers when a run's settings changed, and how."""
    changed = differences(before.model_dump(mode="json"), now.model_dump(mode="json"))
    done = checkpoint.steps(run.checkpoints)
    line = {
        "step": done[-1] if done else 0,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "changed": {key: {"before": old, "now": new} for key, old, new in changed},
    }
    History(run.changes_file).append(line)


def _check_shares(spec: ExperimentSpec, parallel: Parallel) -> None:
    parts = parallel.size * spec.training.grad_accumulation
    if spec.training.batch_size % parts:
        raise UsageError(
            f"training.batch_size {spec.training.batch_size} is not a multiple of {parts} "
            f"({parallel.size} processes x {spec.training.grad_accumulation} accumulation steps)"
        )


def _further(spec: ExperimentSpec, step: int) -> str:
    """How a finished run is trained further."""
    decays = [spec.training.lr_schedule, *(phase.lr_schedule for phase in spec.training.phases)]
    if decays[-1] == "constant":
        return "to train further, raise training.steps"
    return (
        "its learning rate has fallen to 0: to train further, raise training.steps and say how the rate goes on: "
        f"{rates.advice(spec.training, step)}"
    )


def _end_early(what: str, received: signal.Signals | None) -> None:
    message = f"{what}; the same command continues"
    if received == signal.SIGINT:
        terminal.say(message)
        raise KeyboardInterrupt
    raise PreemptedError(message)


def open_run(folder: Path, spec: ExperimentSpec, classes: tuple[str, ...]) -> RunFolder:
    """The run in `folder`, new or of the same spec but for what may change.

    Raises:
        UsageError: it is a run of another spec, or its learning rate would jump.
        CannotWriteError: the folder cannot be made.
    """
    if not (folder / "spec.yaml").exists():
        return RunFolder.create(folder, spec, classes)
    run = RunFolder(folder)
    before = run.read_spec()
    _refuse_other_spec(run, before, spec)
    _say_moves(run, before, spec)
    done = checkpoint.steps(run.checkpoints)
    rates.refuse_other_past(run.path, before.training, spec.training, done[-1] if done else 0)
    return run


def _refuse_other_spec(run: RunFolder, before: ExperimentSpec, now: ExperimentSpec, ignored: str | None = None) -> None:
    """Raise UsageError where specs differ in what may not change; keys that begin with `ignored` are passed over."""
    places = _places(before.data) & _places(now.data)
    fatal = [
        (key, old, new)
        for key, old, new in differences(before.model_dump(mode="json"), now.model_dump(mode="json"))
        if key not in places and not _is_changeable(key) and not (ignored and key.startswith(ignored))
    ]
    if fatal:
        shown = "; ".join(f"{key}: {json.dumps(old)} there, {json.dumps(new)} here" for key, old, new in fatal[:_SHOWN])
        more = f" and {len(fatal) - _SHOWN} more" if len(fatal) > _SHOWN else ""
        raise UsageError(
            f"{run.path} is a run of another spec ({shown}{more}); train under another name (--run NAME), "
            f"or undo the change{_OTHER_RATE if {key for key, _, _ in fatal} <= _RATE else ''}"
        )


def _say_moves(run: RunFolder, before: ExperimentSpec, now: ExperimentSpec) -> None:
    places = _places(before.data) & _places(now.data)
    for key, old, new in differences(before.model_dump(mode="json"), now.model_dump(mode="json")):
        if key in places:
            terminal.say(f"{run.path}: {key} has moved from {old} to {new}; the same data must lie there")


def _places(data: Dataset.Params) -> set[str]:
    """The keys that say where the data lie, not what they are: those that hold a path."""
    return {f"data.{name}" for name, value in data if isinstance(value, Path)}


def _is_changeable(key: str) -> bool:
    return any(fnmatchcase(key, pattern) or key.startswith(f"{pattern}.") for pattern in CHANGEABLE)


def differences(before: object, now: object, key: str = "") -> Iterator[tuple[str, object, object]]:
    """Dotted keys at which two plain documents differ, with both values (None where a key is not there)."""
    if isinstance(before, dict) and isinstance(now, dict) and before.get("type") == now.get("type"):
        for name in dict.fromkeys([*before, *now]):
            yield from differences(before.get(name), now.get(name), f"{key}.{name}" if key else name)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for place, pair in enumerate(zip(before, now, strict=True)):
            yield from differences(*pair, f"{key}.{place}")
    elif before != now:
        yield key, before, now


def _note_resume(run: RunFolder, spec: ExperimentSpec) -> None:
    """A continued run repeats the uninterrupted one bit for bit only under the same versions and plugins."""
    done = checkpoint.steps(run.checkpoints)
    changed = run.note_resume(done[-1] if done else 0, spec)
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        terminal.say(
            f"{run.path}: goes on under other versions ({'; '.join(changed[:_SHOWN])}{more}); results may differ from "
            "an uninterrupted run's; noted in environment.json"
        )
