"""``pixelflow train``: make a run or go on with it, and say how it ended."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pixelflow.core.assembly import build_dataset, resolve
from pixelflow.core.errors import PreemptedError, UsageError
from pixelflow.core.runfolder import RunFolder, environment
from pixelflow.core.spec import ExperimentSpec
from pixelflow.training.loop import Trainer
from pixelflow.training.stopping import Stop, StopSignals

logger = logging.getLogger(__name__)

CHANGEABLE = (
    "sampling",
    "evaluation",
    "training.steps",
    "training.workers",
    "training.checkpointing",
    "training.log_every",
    "training.save_every",
    "training.keep",
    "training.sample_every",
    "training.samples",
    "training.tensorboard",
    "training.bad_images",
)
"""Keys that may change while a run goes on: they do not alter what a step does."""

_SHOWN = 3


def train(spec: ExperimentSpec, folder: Path, device: torch.device, signals: StopSignals) -> RunFolder:
    """Train `spec` in `folder` up to its last step, from the newest checkpoint if there is one.

    Raises:
        UsageError: the folder holds a run of another spec, or is being trained by another process.
        PreemptedError: SIGTERM came; the state is saved.
        KeyboardInterrupt: Ctrl-C came; the state is saved.
        NonFiniteError, DataError, MissingInputError, CannotWriteError: see `Trainer.train`.
    """
    dataset = build_dataset(spec)
    spec = resolve(spec, dataset)
    run = open_run(folder, spec, dataset.classes)
    with run.locked():
        trainer = Trainer(run, spec, dataset, device, signals)
        step = trainer.state.step
        if trainer.is_finished:
            _say(f"{run.path} is finished: {step} steps; to train further, raise training.steps")
            return run
        _say(f"{run.path}: {'continuing after' if step else 'starting at'} step {step} of {spec.training.steps}")
        try:
            trainer.train()
        except Stop:
            _end_early(run, trainer.state.step, signals.received)
    _say(f"finished {spec.training.steps} steps; the run is in {run.path}, its pictures in {run.samples}")
    return run


def _end_early(run: RunFolder, step: int, received: signal.Signals | None) -> None:
    message = f"{run.path}: stopped after step {step} and saved; the same command continues"
    if received == signal.SIGINT:
        _say(message)
        raise KeyboardInterrupt
    raise PreemptedError(message)


def open_run(folder: Path, spec: ExperimentSpec, classes: tuple[str, ...]) -> RunFolder:
    """The run in `folder`, new or of the same spec but for what may change.

    Raises:
        UsageError: it is a run of another spec.
        CannotWriteError: the folder cannot be made.
    """
    if not (folder / "spec.yaml").exists():
        return RunFolder.create(folder, spec, classes)
    run = RunFolder(folder)
    before = run.read_spec()
    if before != spec:
        _refuse_other_spec(run, before, spec)
        run.write_spec(spec)
    _warn_of_other_versions(run)
    return run


def _refuse_other_spec(run: RunFolder, before: ExperimentSpec, now: ExperimentSpec) -> None:
    changed = list(differences(before.model_dump(mode="json"), now.model_dump(mode="json")))
    fatal = [(key, old, new) for key, old, new in changed if not key.startswith(CHANGEABLE)]
    if fatal:
        shown = "; ".join(f"{key}: {json.dumps(old)} there, {json.dumps(new)} here" for key, old, new in fatal[:_SHOWN])
        more = f" and {len(fatal) - _SHOWN} more" if len(fatal) > _SHOWN else ""
        raise UsageError(
            f"{run.path} is a run of another spec ({shown}{more}); train under another name (--run NAME), "
            "or undo the change"
        )


def differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys at which two plain documents differ, with both values (None where a key is not there)."""
    if isinstance(before, dict) and isinstance(now, dict) and before.get("type") == now.get("type"):
        for name in dict.fromkeys([*before, *now]):
            yield from differences(before.get(name), now.get(name), f"{key}.{name}" if key else name)
    elif before != now:
        yield key, before, now


def _warn_of_other_versions(run: RunFolder) -> None:
    """A continued run repeats the uninterrupted one bit for bit only under the same versions."""
    here, there = environment(run.classes), run.environment
    changed = [
        f"{name} {there.get('packages', {}).get(name)} then, {here['packages'].get(name)} now"
        for name in ("torch", "numpy")
        if there.get("packages", {}).get(name) != here["packages"].get(name)
    ]
    if changed:
        logger.warning("%s was started under other versions (%s); results may differ", run.path, "; ".join(changed))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
