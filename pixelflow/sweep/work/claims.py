"""Who works on what: a claim is held by one process at a time and ends with it, however that ends.

Within a machine the claim is a lock of the system, which ends with its process at once. Between machines that
share a file system it is a lease: the holder touches its file ``.claim-NUMBER`` every 15 seconds, and what was not
touched for two minutes is nobody's. Whoever takes over creates the file of the next number, which only one can, and
removes the former; a holder whose file is gone (it was frozen for longer than the lease) ends itself. Locks are never
asked to work between machines, as on many network file systems they do not. What this relies on: a file is created
exclusively by one machine only (NFS 3 and later, Lustre, GPFS), a folder's own change is seen by who made it, and the
file times of all machines agree to within a minute.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixelflow.system import terminal
from pixelflow.system.errors import PixelflowError, PreemptedError
from pixelflow.system.files import locked_if_free, read_bytes, writing

LEASE = 120.0
"""Seconds after which the claim of another machine has ended, unless it was renewed."""
_BEAT = 15.0
"""Seconds between renewals."""
_POLL = 0.1
_LARGEST = 1 << 16
"""Bytes of a claim."""
_TRIALS = (0.001, 0.003)
"""Seconds before another attempt at a lock; whoever asks only whether it is held lets go of it sooner."""


def _machine() -> str:
    """A name of this system as it runs now: all containers of one kernel share it, and its locks."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text().strip() if boot.is_file() else socket.gethostname()


MACHINE = _machine()


class Claim:
    """The right to change a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Whether the claim is this process's until the end of the block."""
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked() as is_locked:
            mine = self._taken() if is_locked else None
            if mine is None:
                yield False
                return
            with _renewed(mine):
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
        if self._lock.is_file() and os.access(self._lock, os.W_OK):  # else only its holder can say
            with self._locked() as is_free:
                if not is_free:
                    return True
        last = self._last
        return last is not None and _is_leased(last, time.time())

    def was_held_by(self, process: int) -> bool:
        """Whether this process of this machine was the last to hold it."""
        return self._last is not None and _holder(self._last) == (MACHINE, process)

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Whether the lock is this process's until the end of the block; one that another only tries is awaited."""
        for patience in (*_TRIALS, 0.0):
            with locked_if_free(self._lock) as is_mine:
                if is_mine or not patience:
                    yield is_mine
                    return
            time.sleep(patience)

    @property
    def _lock(self) -> Path:
        return self._folder / f".lock-{MACHINE[:8]}"

    @property
    def _last(self) -> Path | None:
        return max(self._folder.glob(".claim-*"), default=None)

    def _taken(self) -> Path | None:
        """The file of the claim, now this process's; None if another machine holds it. The lock is held."""
        last = self._last
        os.utime(self._lock)
        if last is not None and _is_leased(last, self._lock.stat().st_mtime):
            return None
        mine = self._folder / f".claim-{int(last.name[-9:]) + 1 if last else 0:09d}"
        try:
            with mine.open("x") as file:
                json.dump({"machine": MACHINE, "host": socket.gethostname(), "process": os.getpid()}, file)
        except FileExistsError:
            return None
        if self._last != mine:  # the list of files was an old one
            mine.unlink(missing_ok=True)
            return None
        for former in self._folder.glob(".claim-*"):
            if former < mine:
                former.unlink(missing_ok=True)
        return mine


def _is_leased(claim: Path, now: float) -> bool:
    """Whether another machine holds this claim; of this machine's only the lock knows."""
    try:
        return now - claim.stat().st_mtime < LEASE and _holder(claim)[0] != MACHINE
    except FileNotFoundError:
        return False


def _holder(claim: Path) -> tuple[str, int]:
    """Machine and process that made a claim; no machine's while it is being written."""
    try:
        told = json.loads(read_bytes(claim, _LARGEST))
        return told["machine"], told["process"]
    except (PixelflowError, ValueError, LookupError, TypeError, RecursionError):
        return "", 0


@contextmanager
def _renewed(claim: Path) -> Iterator[None]:
    """Renew the lease until the end of the block, and then give it back."""
    is_over = threading.Event()
    beating = threading.Thread(target=_beat, args=(claim, is_over), daemon=True)
    beating.start()
    try:
        yield
    finally:
        is_over.set()
        beating.join()
        if claim.is_file():
            os.utime(claim, (0, 0))


def _beat(claim: Path, is_over: threading.Event) -> None:
    while not is_over.wait(_BEAT):
        try:
            os.utime(claim)
        except FileNotFoundError:
            text = f"pixelflow: {claim.parent}: another machine took this over while this one stood still"
            terminal.say(text)
            os._exit(PreemptedError.exit_code)
        except OSError:  # the network may be back before the lease ends
            continue
