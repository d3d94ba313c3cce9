"""The trackers of a run: what the training writes down goes to each of them, and none of them can stop it."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from pixelflow.core.interfaces import Tracker
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs.metrics_line import MetricsLine
from pixelflow.system.errors import MissingDependencyError, one_line

_NUMBERS = ("loss", "learning_rate", "gradient_norm", "images_per_second")


class Trackers:
    """The trackers that still work, by name."""

    def __init__(self, working: Mapping[str, Tracker], say: Callable[[str], None]) -> None:
        self._working, self._say = dict(working), say

    def begin(self, spec: ExperimentSpec, step: int) -> None:
        """Start all of them; raises MissingDependencyError where one's package is not installed."""
        plain = spec.model_dump(mode="json")
        self._each(lambda tracker: tracker.begin(plain, step), MissingDependencyError)

    def write(self, line: MetricsLine) -> None:
        """All numbers of a line of the run's metrics."""
        self._each(lambda tracker: tracker.scalars(line["step"], dict(numbers(line))))

    def show(self, step: int, files: Mapping[str, Path]) -> None:
        """Pictures by name."""
        self._each(lambda tracker: tracker.pictures(step, files))

    def end(self) -> None:
        self._each(lambda tracker: tracker.end())

    def _each(self, call: Callable[[Tracker], None], *fatal: type[Exception]) -> None:
        """Call every tracker; one that fails is named once, and is left alone from then on."""
        for name, tracker in list(self._working.items()):
            try:
                with redirect_stdout(sys.stderr):  # what a service says must not stand among what a command prints
                    call(tracker)
            except fatal:
                raise
            except Exception as error:
                del self._working[name]
                self._say(f"the tracker {name} failed, and this training goes on without it: {one_line(error)}")


@contextmanager
def tracked(
    folder: Path, spec: ExperimentSpec, step: int, say: Callable[[str], None], is_writer: bool
) -> Iterator[Trackers]:
    """The spec's trackers, begun after `step` and ended with the block; none where another process writes."""
    built = _built(spec.training.trackers, folder, spec.name) if is_writer else {}
    trackers = Trackers(built, say)
    trackers.begin(spec, step)
    try:
        yield trackers
    finally:
        trackers.end()


def _built(chosen: Sequence[Tracker.Params], folder: Path, run: str) -> dict[str, Tracker]:
    """By type, the second of a type with a number; each with a folder of that name."""
    found: dict[str, Tracker] = {}
    seen: Counter[str] = Counter()
    for params in chosen:
        kind = params.component.type_name()
        seen[kind] += 1
        name = kind if seen[kind] == 1 else f"{kind}-{seen[kind]}"
        found[name] = params.build(folder=folder / name, run=run)
    return found


def numbers(line: MetricsLine) -> Iterator[tuple[str, float]]:
    """Name and value of whatever can be drawn as a curve in a line of metrics."""
    for name, value in line.items():
        if name in _NUMBERS and isinstance(value, (int, float)):
            yield name, value
    for stage, loss in enumerate(line.get("loss_by_stage", ())):
        if loss is not None:
            yield f"loss_of_stage/{stage}", loss
    if "held_out" in line:
        yield "held_out/loss", line["held_out"]["loss"]
        yield "held_out/averaged_loss", line["held_out"]["averaged_loss"]
    for result in line["evaluation"]["results"] if "evaluation" in line else ():
        title = re.sub(r"[^\w.-]+", "_", result["metric"])  # what every service takes as a name
        yield from ((f"evaluation/{title}/{name}", value) for name, value in result["values"].items())
