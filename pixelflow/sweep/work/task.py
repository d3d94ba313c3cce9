"""What a part of a sweep is: claimed by one process, and done when its result appears; see `tasks`."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from enum import Enum
from pathlib import Path
from typing import ClassVar

import torch

from pixelflow.sweep.work.claims import Claim
from pixelflow.system.errors import DataError, UsageError
from pixelflow.system.files import remove
from pixelflow.system.parallel import Parallel
from pixelflow.system.records import Body, FileKind, LaterFormatError

logger = logging.getLogger(__name__)

AGAIN = "the next pixelflow sweep run does it again"
FAILED = FileKind("the record of a failure", AGAIN)


class State(Enum):
    """How far a task is."""

    DONE = "done"
    FAILED = "failed"
    RUNNING = "running"
    OPEN = "open"


class Task(ABC):
    """A training or an evaluation."""

    kind: ClassVar[FileKind]
    """Of its result."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self._result = folder / "result.json"
        self._failed = folder / "failed.json"
        self.claim = Claim(folder)

    @property
    @abstractmethod
    def what(self) -> str:
        """Its name for people."""

    def forget_damage(self) -> None:
        """Let it be done again where its result is not as it was written."""
        try:
            _ = self.is_done and self.result
        except LaterFormatError:
            raise
        except DataError as error:
            logger.warning("%s", error)
            self._result.unlink(missing_ok=True)

    @property
    @abstractmethod
    def key(self) -> str:
        """The name that its folder has if it is done by the code that is here; see `keys`."""

    @property
    def needs(self) -> Task | None:
        """The task that must be done before."""
        return None

    @abstractmethod
    def perform(self, parallel: Parallel) -> Body | None:
        """Do it, or go on with it; returns its result, of several processes in the first."""

    @property
    def is_done(self) -> bool:
        return self._result.is_file()

    @property
    def is_ready(self) -> bool:
        """Whether nothing else must be done first."""
        return self.needs is None or self.needs.is_done

    @property
    def result(self) -> Body:
        """What `perform` returned; raises DataError where somebody damaged it."""
        return self.kind.read(self._result)

    @property
    def failure(self) -> str | None:
        """Why it failed, itself or what it needs."""
        if self.is_done:
            return None
        if self._failed.is_file():
            try:
                return str(FAILED.read(self._failed)["error"])
            except DataError as error:
                return str(error)
        return f"{self.needs.what} failed" if self.needs is not None and self.needs.failure is not None else None

    @property
    @abstractmethod
    def progress(self) -> str:
        """How far it is, while it runs; empty where that is not known yet."""

    @property
    def state(self) -> State:
        if self.is_done:
            return State.DONE
        if self.failure is not None:
            return State.FAILED
        return State.RUNNING if self.claim.is_held else State.OPEN

    def fail(self, why: str) -> None:
        """Record that it failed."""
        FAILED.write(self._failed, {"error": why, "log": str(self.log)})

    def forget_failure(self) -> None:
        """Let it be tried again."""
        self._failed.unlink(missing_ok=True)

    def finish(self, parallel: Parallel) -> None:
        """Do it and record the result, of several processes in the first; whoever called them has claimed it."""
        self._check_plugins()
        if parallel.is_first:
            for draft in list(self.folder.rglob(".*.part")):  # of a process that was killed while writing
                remove(draft)
        parallel.wait()
        threads = torch.get_num_threads()
        try:
            result = self.perform(parallel)
        finally:  # a spec may have its training use others, and the next task must not depend on this one
            torch.set_num_threads(threads)
        if result is not None:
            self.kind.write(self._result, result)

    def _check_plugins(self) -> None:
        """Raise UsageError where the code of a plugin is not the one that the task's name was made of."""
        if self.key != self.folder.name:
            raise UsageError(
                f"{self.what}: a plugin is not the one that the sweep was planned with; run the sweep's command again"
            )
