"""Progress bars, on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pixelflow.system.printing import printable
from pixelflow.system.terminal import tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bars:
    """A bar for each thing that is told of, on standard error."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """So much of `what` is done."""
        if what not in self._tasks:
            self._tasks[what] = self._shown.add_task("", total=total, what=printable(what))
        self._shown.update(self._tasks[what], completed=done)

    def say(self, *lines: str) -> None:
        """Print a result to standard output; where bars share its terminal, above them, lest they erase it."""
        if sys.stdout.isatty() and not self._shown.disable:
            text = "\n".join(map(printable, lines))
            self._shown.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            tell(*lines)


@contextmanager
def bars(*, silent: bool = False) -> Iterator[Bars]:
    """``tell(what, done, total)`` and ``tell.say(text)`` while something runs.

    Args:
        silent: show no bar, as for all but the first of several processes.
    """
    from rich.console import Console
    from rich.progress import Progress

    from pixelflow.system.gauge import Countdown

    console = Console(stderr=True)
    # Standard output is left alone: it may be a file, while rich would lead it to the bars' terminal.
    disable = silent or not sys.stderr.isatty()
    with Progress(Countdown(console), console=console, disable=disable, redirect_stdout=False) as shown:
        yield Bars(shown)
