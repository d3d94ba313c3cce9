"""The evaluations that a run's metrics tell of, and the best of them: the checkpoint that ``best`` names."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pixelflow.runs.metric_result import MetricResult
from pixelflow.runs.metrics_line import MetricFigures, MetricsLine
from pixelflow.system import journal
from pixelflow.system.files import opened, sync, writing
from pixelflow.system.journal import Line, Position

logger = logging.getLogger(__name__)

_STEP = re.compile(r'\{"step": (\d{1,18})[,}]')
"""How our own lines begin."""
_NAMED = 5
"""Lines that a message names."""

Step = int | Literal["best"]
"""A checkpoint: its training step, or the one that was evaluated best."""


@dataclass(frozen=True)
class Evaluated:
    """The main figure of the weights of one step."""

    step: int
    metric: str
    """Title of the first metric, which decides."""
    value: float
    higher_is_better: bool
    images: int

    def is_comparable(self, other: Evaluated) -> bool:
        """Figures of other metrics, or of other numbers of images, are not."""
        return (self.metric, self.images) == (other.metric, other.images)

    @property
    def rank(self) -> float:
        """Least for the best."""
        return -self.value if self.higher_is_better else self.value


def line_of(step: int, images: int, results: Sequence[MetricResult]) -> MetricsLine:
    """The line of metrics that tells of an evaluation."""
    told: list[MetricFigures] = [
        {"metric": one.metric, "values": one.values, "higher_is_better": one.higher_is_better} for one in results
    ]
    return {"step": step, "evaluation": {"images": images, "results": told}}


def evaluated(metrics_file: Path) -> list[Evaluated]:
    """What the lines of metrics tell, oldest first; a line that a crash cut off tells nothing."""
    return History(metrics_file).evaluated


def best_of(found: Sequence[Evaluated]) -> Evaluated | None:
    """The best of those that compare with the newest; of equal ones the earliest."""
    comparable = [one for one in found if one.is_comparable(found[-1]) and math.isfinite(one.value)]
    return min(comparable, key=lambda one: one.rank, default=None)


class History:
    """A run's metrics, of which every line is read once; what is added later is read when it is asked for.

    Lines that are not as they were written are left in the file, not believed, and named in the log.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._named: set[int] = set()
        """Lines that the log has named."""
        self._begin()

    def _begin(self) -> None:
        self._read = 0
        """Bytes of all whole lines that are read."""
        self._position = Position()
        self._has_seals = False
        self._found: list[Evaluated] = []
        self._losses: str | None = None
        """The last line of losses."""

    @property
    def evaluated(self) -> list[Evaluated]:
        """The evaluations, oldest first."""
        self._catch_up()
        return self._found

    @property
    def last(self) -> MetricsLine | None:
        """The last line of losses."""
        self._catch_up()
        return None if self._losses is None else _parsed(self._losses)

    @property
    def position(self) -> Position:
        """The end of what is there."""
        self._catch_up()
        return self._position

    def lines(self) -> Iterator[MetricsLine]:
        """All lines that can be believed, from the first on; others are named in the log."""
        yield from self._believed(History(self._file))

    @property
    def is_cut(self) -> bool:
        """Whether the file is shorter than what was read of it."""
        return (self._file.stat().st_size if self._file.is_file() else 0) < self._read

    def fresh(self) -> Iterator[MetricsLine]:
        """As `lines`, those that were not read yet; from the first on where the file was cut."""
        if self.is_cut:
            self._begin()
        yield from self._believed(self)

    def _believed(self, reader: History) -> Iterator[MetricsLine]:
        unsound = set()
        try:
            for line in reader._next():
                if not line.is_sound:
                    unsound.add(line.position.lines)
                elif (body := _parsed(line.text)) is not None:
                    yield body
        finally:
            self._warn(unsound)

    def append(self, line: Mapping[str, object]) -> None:
        """Add a line, whole or not at all; raises CannotWriteError."""
        self._catch_up()
        new = journal.sealed(line, self._position)
        self._read = journal.append(self._file, new)
        self._take(new)

    def sync(self) -> None:
        """Wait until the disk has all lines; before a checkpoint, so that it never knows more than the metrics."""
        if self._file.exists():
            with writing(self._file):
                sync(self._file)

    def rewind(self, step: int, known: Position | None = None) -> None:
        """Drop the lines after `step`, which will be written again, and a line that a crash cut off.

        Args:
            known: where the metrics ended when the checkpoint of this step was saved; what is lost is told.
        """
        if not self._file.exists():
            self._tell_of_loss(known, Position())
            return
        self._begin()
        end, there = 0, Position()
        unsound: set[int] = set()
        is_behind = False
        for line in self._next():
            if line.is_sound and (at := _step_of(line.text)) is not None and at > step:
                is_behind = True
                break
            end = self._read
            unsound |= set() if line.is_sound else {line.position.lines}
            if known is not None and line.position.lines <= known.lines:
                there = line.position
        if end != self._file.stat().st_size:
            with writing(self._file):
                os.truncate(self._file, end)
        self._warn(unsound)
        if is_behind:  # one line too many is taken
            self._begin()
        self._tell_of_loss(known, there)

    def _tell_of_loss(self, known: Position | None, there: Position) -> None:
        if known is not None and known != there:
            logger.warning(
                "%s: a part of the history is lost or was changed (%d lines are there of the %d that the checkpoint "
                "knows); training goes on without it", self._file, there.lines, known.lines
            )  # fmt: skip

    def _catch_up(self) -> None:
        """Read what was added; all again if the file was cut."""
        if self.is_cut:
            self._begin()
        self._warn({line.position.lines for line in self._next() if not line.is_sound})

    def _warn(self, found: set[int]) -> None:
        """Name lines that are not sound, each once."""
        unsound = sorted(found - self._named)
        self._named |= found
        if unsound:
            more = f" and {len(unsound) - _NAMED} more" if len(unsound) > _NAMED else ""
            named = ", ".join(map(str, unsound[:_NAMED])) + more
            logger.warning("%s: not as it was written, and not believed: line %s", self._file, named)

    def _next(self) -> Iterator[Line]:
        """The whole lines that are not read yet."""
        if not self._file.is_file():
            return
        with opened(self._file) as file:
            file.seek(self._read)
            for raw in file:
                if not raw.endswith(b"\n"):
                    return
                line = journal.checked(raw[:-1].decode("utf-8", "surrogateescape"), self._position, self._has_seals)
                self._read += len(raw)
                self._take(line)
                yield line

    def _take(self, line: Line) -> None:
        self._position = line.position
        self._has_seals = self._has_seals or line.is_sealed
        if line.is_sound and '"evaluation"' in line.text:
            self._found += _told(line.text)
        if line.is_sound and '"loss_by_stage"' in line.text:
            self._losses = line.text


def _parsed(text: str) -> MetricsLine | None:
    """A line's content; None for what is no line of metrics."""
    try:
        body = json.loads(text)
        return body if isinstance(body["step"], int) else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _step_of(text: str) -> int | None:
    ours = _STEP.match(text)
    body = None if ours else _parsed(text)
    return int(ours[1]) if ours else body["step"] if body else None


def _told(text: str) -> Iterator[Evaluated]:
    with suppress(ValueError, LookupError, TypeError, AttributeError, RecursionError):  # of losses, or not ours
        body = json.loads(text)
        evaluation = body["evaluation"]
        main = MetricResult.model_validate(evaluation["results"][0])
        (value, *_) = main.values.values()
        yield Evaluated(int(body["step"]), main.metric, value, main.higher_is_better, evaluation["images"])
