"""What a person sees of a training run: a progress bar on a terminal, else plain lines."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from types import TracebackType

from pixelflow.runs.metrics_line import MetricsLine
from pixelflow.system import terminal
from pixelflow.system.printing import printable

_SOON = 1.0
"""Seconds of training from which its speed is told."""


class Progress(AbstractContextManager["Progress"], ABC):
    """Shows how far training is."""

    note: str = ""
    """Shown with every line: the newest evaluation."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def advance(self, step: int) -> None:
        """One more step is done."""

    @abstractmethod
    def show(self, line: MetricsLine, seconds_left: float) -> None:
        """A line of metrics is there."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Print a message without spoiling the display."""


class Bar(Progress):
    """A progress bar with loss, images a second and time left."""

    def __init__(self, steps: int, first: int, batch_size: int) -> None:
        from rich.console import Console
        from rich.progress import Progress as RichProgress

        from pixelflow.system.gauge import Gauge

        console = Console(stderr=True)
        self._bar = RichProgress(Gauge(console), console=console)
        self._task = self._bar.add_task("", total=steps, completed=first, what="step")
        self._steps, self._batch_size = steps, batch_size
        self._began: tuple[float, int] | None = None
        """When the first step was done, which takes longer than others, and its number."""
        self._has_metrics = False

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, step: int) -> None:
        self._bar.update(self._task, completed=step)
        if not self._has_metrics:
            self._tell_speed(step)

    def _tell_speed(self, step: int) -> None:
        """Speed and time left by the steps so far, until the first line of metrics, which may take minutes."""
        now = time.monotonic()
        began, first = self._began = self._began or (now, step)
        if step > first and now - began >= _SOON:
            seconds = (now - began) / (step - first)
            speed = _speed(self._batch_size / seconds, (self._steps - step) * seconds)
            self._bar.update(self._task, description=speed)

    def show(self, line: MetricsLine, seconds_left: float) -> None:
        self._has_metrics = True
        self._bar.update(self._task, description=_summary(line, seconds_left, self.note))

    def say(self, text: str) -> None:
        self._bar.console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


class Lines(Progress):
    """A plain line on stderr for every line of metrics."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def advance(self, step: int) -> None:
        return None

    def show(self, line: MetricsLine, seconds_left: float) -> None:
        self.say(f"step {line['step']}/{self._steps}  {_summary(line, seconds_left, self.note)}")

    def say(self, text: str) -> None:
        terminal.say(text)


class Silence(Progress):
    """Nothing: for all processes but the first of several."""

    def advance(self, step: int) -> None:
        return None

    def show(self, line: MetricsLine, seconds_left: float) -> None:
        return None

    def say(self, text: str) -> None:
        return None


def make_progress(steps: int, first: int, batch_size: int, silent: bool) -> Progress:
    """A bar when stderr is a terminal, else lines."""
    if silent:
        return Silence()
    return Bar(steps, first, batch_size) if sys.stderr.isatty() else Lines(steps)


def _summary(line: MetricsLine, seconds_left: float, note: str) -> str:
    told = f"loss {line['loss']:.4f}  {_speed(line['images_per_second'], seconds_left)}"
    return printable(f"{told}  {note}".rstrip())


def _speed(images_per_second: float, seconds_left: float) -> str:
    return f"{images_per_second:.4g} images/s  {duration(seconds_left)} left"


def duration(seconds: float) -> str:
    """``3 s``, ``2:05 min`` or ``1:02:03 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02} h"
