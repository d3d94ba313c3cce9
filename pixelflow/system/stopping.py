"""SIGTERM, SIGHUP and Ctrl-C while training: stop where nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import ClassVar

from pixelflow.system import terminal
from pixelflow.system.errors import LostPeerError

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


_PATIENCE = 180.0
"""Seconds in which processes that train together must end a step, or a save, after a signal to one of them."""


class Stop(BaseException):
    """Leave the training loop, save and end. A BaseException: no reader's ``except Exception`` may swallow it."""


class StopSignals:
    """While entered, SIGTERM, SIGHUP (a closed terminal) and SIGINT are requests; `Stop` is raised only where the state
    is whole. What the process was told to ignore, as ``nohup`` does with SIGHUP, it goes on ignoring.

    That is at `check` (between steps) and at once within `interruptible` (waiting for data, drawing pictures).
    Several processes (`together`) must stop at the same step, so signals wait for it everywhere but where one is alone.
    A second Ctrl-C ends the process without saving; what is on disk stays whole.
    """

    current: ClassVar[StopSignals | None] = None
    """What hears of signals now."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._is_shared = False
        self._answered = threading.Event()
        self._wakened: tuple[socket.socket, socket.socket] | None = None
        self._interruptible = False
        self._outer: StopSignals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopSignals:
        self._outer, StopSignals.current = StopSignals.current, self
        if threading.current_thread() is threading.main_thread():  # signals cannot be had elsewhere
            for number in REQUESTS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        StopSignals.current = self._outer
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._answered.set()
        if self._wakened is not None:
            signal.set_wakeup_fd(-1)
            self._wakened[1].shutdown(socket.SHUT_RDWR)  # ends the thread, whatever children hold it too
            self._wakened[1].close()

    def together(self) -> None:
        """From now on other processes train with this one.

        While it waits for another in a collective no handler runs. So a thread hears of signals too, and ends this
        process if the others do not come to the end of their step with it: one may live and stand still.
        """
        self._is_shared = True
        if self._before and self._wakened is None:
            self._wakened = socket.socketpair()
            for end in self._wakened:
                end.setblocking(False)
            signal.set_wakeup_fd(self._wakened[1].fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._watch, args=(self._wakened[0],), daemon=True, name="signals").start()

    def _watch(self, wakened: socket.socket) -> None:
        wakened.setblocking(True)
        with wakened:
            while (told := wakened.recv(1)) and told[0] not in REQUESTS:
                continue
        if told and not self._answered.wait(_PATIENCE):
            terminal.say(
                f"pixelflow: {signal.Signals(told[0]).name} came, and another of the processes that train together has "
                f"not ended its step within {_PATIENCE:.0f} s; this one ends without a save: the newest checkpoint "
                "stands, and the same command continues"
            )
            os._exit(LostPeerError.exit_code)

    def answer(self) -> None:
        """Raise Stop: all processes know of it."""
        self._answered.set()
        raise Stop

    def check(self) -> None:
        """Raise Stop if a signal has come."""
        if self.received is not None:
            raise Stop

    @contextmanager
    def interruptible(self, *, alone: bool = False) -> Iterator[None]:
        """Within, a signal raises Stop at once: use it where nothing is being changed.

        Args:
            alone: other processes have no part in it, so that its end is not theirs.
        """
        self._interruptible = alone or not self._is_shared
        try:
            if self._interruptible:
                self.check()
            yield
        finally:
            self._interruptible = False

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """Within, no signal raises, also where all is interruptible; one that has come raises Stop at the end."""
        before, self._interruptible = self._interruptible, False
        try:
            yield
        finally:
            self._interruptible = before
        if before:
            self.check()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)
        if self._interruptible:
            self._interruptible = False
            raise Stop


def unbroken() -> AbstractContextManager[None]:
    """Within, no signal raises: for forks, whose hooks swallow exceptions and print them."""
    return nullcontext() if StopSignals.current is None else StopSignals.current.unbroken()
