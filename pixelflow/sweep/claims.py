"""Who works on what: a claim is held by one process at a time and ends with it, however that ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixelflow.core.files import writing

_LOCK = ".lock"
_POLL = 0.1


class Claim:
    """The right to change a folder; a lock of the system (flock) on a file in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = folder / _LOCK

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Whether the claim is this process's until the end of the block."""
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield True

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Hold the claim, as soon as nobody else does, until the end of the block."""
        is_mine = False
        while not is_mine:
            with self.held() as is_mine:
                if is_mine:
                    yield
            if not is_mine:
                time.sleep(_POLL)

    @property
    def is_held(self) -> bool:
        """Whether a process holds it now."""
        if not self._lock.is_file():
            return False
        with self._lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def was_held_by(self, process: int) -> bool:
        """Whether this process was the last to hold it."""
        return self._lock.is_file() and self._lock.read_text() == str(process)
