"""The learning rate of every step, and what may change of it while a run goes on: what is to come, never what is done.

A spec alone decides on the rates, so that a run that is resumed, from whichever checkpoint, follows one course.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pixelflow.core.training_settings import TrainingSpec
from pixelflow.system.errors import UsageError

_SETTINGS = ("steps", "learning_rate", "warmup", "lr_schedule", "decay_end", "phases")


@dataclass(frozen=True)
class _Course:
    """The rate between two changes; steps are counted from 0."""

    start: int
    before: float
    """Rate from which the warm-up rises."""
    rate: float
    warmup: int
    schedule: str
    end: int
    """Where a cosine has fallen to 0."""

    def at(self, step: int) -> float:
        done = step - self.start
        if done < self.warmup:
            return self.before + (self.rate - self.before) * (done + 1) / self.warmup
        if self.schedule == "constant":
            return self.rate
        progress = (done - self.warmup) / max(1, self.end - self.start - self.warmup)
        return self.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def rate_at(step: int, training: TrainingSpec) -> float:
    """The learning rate of step 0, 1, ...: a linear warm-up, then constant, or half a cosine towards 0, by phases."""
    return [course for course in _courses(training) if course.start <= step][-1].at(step)


def _courses(training: TrainingSpec) -> Iterator[_Course]:
    starts = [*(phase.start for phase in training.phases), training.steps]
    end = training.decay_end or starts[0]
    course = _Course(0, 0.0, training.learning_rate, training.warmup, training.lr_schedule, end)
    yield course
    for phase, following in zip(training.phases, starts[1:], strict=True):
        before = course.at(phase.start - 1)
        rate = before if phase.learning_rate is None else phase.learning_rate
        course = _Course(phase.start, before, rate, phase.warmup, phase.lr_schedule, phase.decay_end or following)
        yield course


def refuse_other_past(run: object, before: TrainingSpec, now: TrainingSpec, done: int) -> None:
    """See that the rates of all steps that a run has done are what they were.

    Args:
        run: how messages name the run.
        before: settings that the `done` steps had.

    Raises:
        UsageError: they are not, so that the rate would jump; says how a change from here on is written.
    """
    if all(getattr(before, name) == getattr(now, name) for name in _SETTINGS):
        return
    for step in reversed(range(done)):
        then, here = rate_at(step, before), rate_at(step, now)
        if then != here:
            raise UsageError(
                f"{run}: {_changed(before, now)} would change the course of the learning rate in steps that are done "
                f"(step {step + 1}: {then:.3g} then, {here:.3g} now), so that it jumps; say how it goes on from here: "
                f"{advice(before, done)} "
                f"(lr_schedule: constant holds it; without learning_rate it starts from {then:.3g})"
            )


def advice(before: TrainingSpec, done: int) -> str:
    """Overrides with which a run goes on after `done` steps at its first rate, and the course before stays."""
    current = [course for course in _courses(before) if course.start < done][-1]
    phases = [phase.model_dump(exclude_defaults=True) for phase in before.phases if phase.start < done]
    keeps = ""
    if current.schedule == "cosine" and current.end != done:
        if phases:
            phases[-1]["decay_end"] = current.end
        else:
            keeps = f"training.decay_end={current.end} "
    phases.append({"start": done, "learning_rate": before.learning_rate, "lr_schedule": "cosine"})
    shown = ("{" + ", ".join(f"{name}: {value}" for name, value in phase.items()) + "}" for phase in phases)
    return f"{keeps}'training.phases=[{', '.join(shown)}]'"


def _changed(before: TrainingSpec, now: TrainingSpec) -> str:
    names = [name for name in _SETTINGS if getattr(before, name) != getattr(now, name)]
    return " and ".join(f"training.{name}" for name in names)


def told(training: TrainingSpec, step: int) -> str | None:
    """One line of the phase that a run is in after `step` steps, or comes to; None if it has none."""
    current = [phase for phase in training.phases if phase.start <= step][-1:]
    coming = [phase for phase in training.phases if phase.start > step][:1]
    shown = [
        f"from step {phase.start} on {rate_at(phase.start + phase.warmup, training):.3g} ({phase.lr_schedule})"
        for phase in (*current, *coming)
    ]
    return f"learning rate: {'; '.join(shown)}" if shown else None
