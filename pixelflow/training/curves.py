"""The course of the loss as a picture: in a run's folder while it trains, of several runs by ``pixelflow plot``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pixelflow.runs.history import History
from pixelflow.runs.metrics_line import MetricsLine
from pixelflow.system.errors import DataError
from pixelflow.system.files import write_bytes
from pixelflow.system.plotting import COLOURS, drawing, is_wide, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)

PICTURE = "loss.png"
_POINTS = 1000
"""Of a curve; the lines of longer runs are averaged."""

Point = tuple[int, float]
"""A step and a loss."""


@dataclass
class Course:
    """What a run's metrics tell of the loss, read on from where it was read before."""

    metrics: Path
    trained: list[Point] = field(default_factory=list)
    held_out: list[Point] = field(default_factory=list)
    averaged: list[Point] = field(default_factory=list)
    """Of the held-out images, by the averaged weights."""
    by_stage: dict[int, list[Point]] = field(default_factory=dict)
    _history: History = field(init=False)

    def __post_init__(self) -> None:
        self._history = History(self.metrics)

    def read_on(self) -> bool:
        """Take the whole lines that have come; returns whether any has."""
        if self._history.is_cut:
            for course in (self.trained, self.held_out, self.averaged, self.by_stage):
                course.clear()
        is_new = False
        for line in self._history.fresh():
            is_new = True
            with suppress(ValueError, LookupError, TypeError, AttributeError):  # not ours
                self._take(line)
        return is_new

    def _take(self, line: MetricsLine) -> None:
        step = int(line["step"])
        if "held_out" in line:
            self.held_out.append((step, float(line["held_out"]["loss"])))
            self.averaged.append((step, float(line["held_out"]["averaged_loss"])))
        elif "loss" in line:
            self.trained.append((step, float(line["loss"])))
            for stage, loss in enumerate(line["loss_by_stage"]):
                if loss is not None:
                    self.by_stage.setdefault(stage, []).append((step, float(loss)))


class Curves:
    """``loss.png`` in a run's folder. It is a convenience: whatever goes wrong with it is said once, and no more."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._course = Course(run / "metrics.jsonl")
        self._is_told = False

    def draw(self) -> None:
        """Draw what there is, if anything is new."""
        try:
            if self._course.read_on() and self._course.trained:
                plot({self._run.name: self._course}, self._run / PICTURE)
        except Exception as error:  # another package's, or a full disk: nothing that training needs
            if not self._is_told:
                logger.warning("no picture of the loss: %s", error)
            self._is_told = True


def courses(runs: Sequence[Path]) -> dict[str, Course]:
    """The courses of runs by their names, or by their paths where two have one name.

    Raises:
        DataError: a run has no losses.
    """
    names = [run.resolve().name for run in runs]
    found = {}
    for run, name in zip(runs, names, strict=True):
        course = Course(run / "metrics.jsonl")
        course.read_on()
        if not course.trained:
            raise DataError(f"{run}: its metrics hold no losses; it writes one every training.log_every steps")
        found[name if names.count(name) == 1 else str(run)] = course
    return found


def plot(runs: dict[str, Course], target: Path) -> None:
    """Draw the losses of runs into a PNG; of a single one by stage too.

    Raises:
        CannotWriteError: the system refuses.
    """
    with drawing(9, 5, dpi=110) as (figure, axes):
        for place, (name, course) in enumerate(runs.items()):
            _draw(axes, course, "" if len(runs) == 1 else name, f"C{place % len(COLOURS)}")
        if is_wide([loss for course in runs.values() for _, loss in course.trained if loss > 0]):
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.set_title(next(iter(runs)) if len(runs) == 1 else "")
        axes.legend()
        picture = png(figure)
    write_bytes(target, picture)


def _draw(axes: Axes, course: Course, name: str, colour: str) -> None:
    """The curves of a run; without a name it is the only one, and is drawn by stage too."""
    axes.plot(*_columns(course.trained), color=colour, linewidth=1.5, label=name or "training", zorder=3)
    if course.held_out:
        of = f"{name}, " if name else ""
        own = colour if name else "black"
        for points, marks, what in (
            (course.held_out, "o--", "held out"),
            (course.averaged, "s:", "held out, averaged weights"),
        ):
            label = f"{of}{what}"
            axes.plot(*_columns(points), marks, color=own, label=label, linewidth=1.2, markersize=4, zorder=4)
    if not name and len(course.by_stage) > 1:
        for stage, points in sorted(course.by_stage.items()):
            label = f"training, stage {stage + 1}"
            axes.plot(*_columns(points), color=f"C{stage + 1}", linewidth=0.8, alpha=0.7, label=label)


def _columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Steps and losses, of at most so many points that a picture can show."""
    many = -(-len(points) // _POINTS)
    parts = [points[first : first + many] for first in range(0, len(points), many)]
    return [part[-1][0] for part in parts], [sum(loss for _, loss in part) / len(part) for part in parts]
