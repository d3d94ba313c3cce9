"""SIGTERM, SIGHUP and Ctrl-C while training: stop where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REQUESTS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name))
"""The signals that ask training to stop; Windows has no SIGHUP."""


@contextmanager
def killable() -> Iterator[None]:
    """Within, the signals end the process at once: for waits outside of Python, during which no handler runs."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in REQUESTS}
    handled = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    try:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)


class Stop(BaseException):
    """Leave the training loop, save and end. A BaseException: no reader's ``except Exception`` may swallow it."""


class StopSignals:
    """While entered, SIGTERM, SIGHUP (a closed terminal) and SIGINT are requests; `Stop` is raised only where the state
    is whole. What the process was told to ignore, as ``nohup`` does with SIGHUP, it goes on ignoring.

    That is at `check` (between steps) and at once within `interruptible` (waiting for data, drawing pictures).
    With `immediate` off, signals wait for `check` everywhere: several processes must stop at the same step.
    A second Ctrl-C ends the process without saving; what is on disk stays whole.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.immediate = True
        self._interruptible = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # signals cannot be had elsewhere
            for number in REQUESTS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise Stop if a signal has come."""
        if self.received is not None:
            raise Stop

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within, a signal raises Stop at once: use it where nothing is being changed."""
        self._interruptible = self.immediate
        try:
            if self.immediate:
                self.check()
            yield
        finally:
            self._interruptible = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)
        if self._interruptible:
            self._interruptible = False
            raise Stop
