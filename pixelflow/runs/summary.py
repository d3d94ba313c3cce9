"""What a run has come to, told from its folder alone, and what tells two runs apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pixelflow.runs import checkpoint
from pixelflow.runs.history import Evaluated
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import CannotWriteError, PixelflowError, UsageError
from pixelflow.system.files import LOCK, locked_if_free


@dataclass(frozen=True)
class Summary:
    """One run of a table of runs."""

    path: Path
    step: int | None = None
    """Of the newest complete checkpoint; None before the first."""
    steps: int | None = None
    """That its spec asks for."""
    loss: float | None = None
    """The last one that was logged."""
    images_per_second: float | None = None
    """Of training, as it was logged last."""
    evaluated: Evaluated | None = None
    """The last evaluation while training."""
    is_training: bool = False
    trouble: str | None = None
    """Why the folder cannot be read as a run."""

    @property
    def size(self) -> int:
        """Bytes of all its files; what vanishes while it is counted counts nothing."""
        total = 0
        for file in self.path.rglob("*"):
            with suppress(OSError):
                total += 0 if file.is_dir() else file.lstat().st_size
        return total


def summaries(folder: Path) -> list[Summary]:
    """Of all runs directly in a folder, by name; a broken one says what is wrong with it."""
    return [summary(spec.parent) for spec in sorted(folder.glob("*/spec.yaml"))]


def summary(path: Path, run: RunFolder | None = None) -> Summary:
    """What the folder of one run tells; raises nothing for a broken one.

    Args:
        run: the folder, opened before: then only what its metrics have more since is read.
    """
    try:
        run = run or RunFolder(path)
        training = run.document.data.get("training", {})
        evaluated, last = run.history.evaluated, run.history.last
        return Summary(
            path,
            step=max(checkpoint.steps(run.checkpoints), default=None),
            steps=training.get("steps"),
            loss=last.get("loss") if last else None,
            images_per_second=last.get("images_per_second") if last else None,
            evaluated=evaluated[-1] if evaluated else None,
            is_training=is_training(run),
        )
    except (PixelflowError, OSError, AttributeError) as error:
        lines = error.lines if isinstance(error, PixelflowError) else [str(error)]
        return Summary(path, trouble=lines[0])


def is_training(run: RunFolder) -> bool:
    """Whether a process holds the run's lock; where the lock cannot be tried, none of ours can train."""
    return _is_held(run.path / LOCK)


def refuse_busy(run: RunFolder) -> None:
    """Raise UsageError if a process trains a run, or draws into its folder."""
    if is_training(run):
        raise UsageError(f"{run.path}: another process is training this run; stop it first")
    for lock in run.path.rglob(LOCK):
        if _is_held(lock):
            raise UsageError(f"{run.path}: another process draws into {lock.parent}; stop it first")


def _is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with locked_if_free(lock) as is_ours:
            return not is_ours
    except CannotWriteError:
        return False


def differences(first: Mapping[str, object], second: Mapping[str, object]) -> list[tuple[str, object, object]]:
    """(key, value in the first, value in the second) of two specs' documents; None where one has no such key.

    A list is one value, unless both hold as many blocks: then these are compared one by one.
    """
    left, right = dict(_leaves(first)), dict(_leaves(second))
    keys = dict.fromkeys([*left, *right])
    return [(key, left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)]


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(below, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for index, below in enumerate(value):
            yield from _leaves(below, f"{place}.{index}")
    else:
        yield place, value
