"""One line of progress on a terminal: how many of how many, a bar, and words. The bar gives way before the rest."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.progress import ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

_LONGEST_BAR, _SHORTEST_BAR = 40, 6
_FREE = 3
"""Columns left empty: where the ``^C`` of a Ctrl-C has no room, it breaks the line, and the line is shown twice."""


class Gauge(ProgressColumn):
    """The whole line of a task: ``WHAT 50/100 ━━━━ words``.

    A task's field ``what`` stands before the counter, its description behind the bar. On a narrow terminal first the
    bar shrinks and goes, then the words are cut; the counter stays.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._console = console

    def render(self, task: Task) -> RenderableType:
        total = int(task.total or 0)
        counter = f"{task.fields['what']} {int(task.completed):>{len(str(total))}}/{total}"
        words = self._words(task)
        room = self._console.width - _FREE - len(counter)
        bar = min(_LONGEST_BAR, room - 1 - (len(words) + 1 if words else 0))
        line = Table.grid(padding=(0, 1, 0, 0))
        parts: list[RenderableType] = [Text(counter, style="progress.download", no_wrap=True)]
        line.add_column(width=len(counter))
        if bar >= _SHORTEST_BAR:
            parts.append(ProgressBar(total=max(total, 1), completed=task.completed, width=bar))
            line.add_column(width=bar)
            room -= bar + 1
        if words and room > 1:
            parts.append(Text(words, no_wrap=True, overflow="ellipsis"))
            line.add_column(width=min(len(words), room - 1))
        line.add_row(*parts)
        return line

    def _words(self, task: Task) -> str:
        return task.description


class Countdown(Gauge):
    """A gauge whose words are the time left."""

    def _words(self, task: Task) -> str:
        left = task.time_remaining
        return "" if left is None else f"{int(left) // 3600}:{int(left) // 60 % 60:02}:{int(left) % 60:02} left"
