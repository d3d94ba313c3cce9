"""The learning rate of every step, and what may change of it while a run goes on: what is to come, never what is done.

A spec alone decides on the rates, so that a run that is resumed, from whichever checkpoint, follows one course.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from pixelflow.core.training_settings import PhaseSpec, TrainingSpec
from pixelflow.system.errors import UsageError

_SETTINGS = ("steps", "learning_rate", "warmup", "lr_schedule", "decay_end", "phases")


class _Course(NamedTuple):
    """The settings that hold from a step on."""

    settings: TrainingSpec | PhaseSpec
    start: int
    end: int
    """Where a cosine has fallen to 0."""
    before: float
    """The rate of the step before."""


class LearningRates:
    """The learning rate of every step of a training."""

    def __init__(self, training: TrainingSpec) -> None:
        self.courses: list[_Course] = []
        settings: list[TrainingSpec | PhaseSpec] = [training, *training.phases]
        starts = [0, *(phase.start for phase in training.phases), training.steps]
        for own, (start, following) in zip(settings, pairwise(starts), strict=True):
            before = self.at(start - 1) if start else 0.0
            self.courses.append(_Course(own, start, own.decay_end or following, before))

    def at(self, step: int) -> float:
        """The rate of step 0, 1, ...: a linear warm-up, then constant, or half a cosine towards 0, by phases."""
        course, start, end, before = [course for course in self.courses if course.start <= step][-1]
        rate = before if course.learning_rate is None else course.learning_rate
        done = step - start
        if done < course.warmup:
            return before + (rate - before) * (done + 1) / course.warmup
        if course.lr_schedule == "constant":
            return rate
        progress = (done - course.warmup) / max(1, end - start - course.warmup)
        return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


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
    rates_before, rates_now = LearningRates(before), LearningRates(now)
    for step in reversed(range(done)):
        then, here = rates_before.at(step), rates_now.at(step)
        if then != here:
            raise UsageError(
                f"{run}: {_changed(before, now)} would change the course of the learning rate in steps that are done "
                f"(step {step + 1}: {then:.3g} then, {here:.3g} now), so that it jumps; say how it goes on from here: "
                f"{advice(before, done)} "
                f"(lr_schedule: constant holds it; without learning_rate it starts from {then:.3g})"
            )


def advice(before: TrainingSpec, done: int) -> str:
    """Overrides with which a run goes on after `done` steps at its first rate, and the course before stays."""
    current, _, end, _ = [course for course in LearningRates(before).courses if course.start < done][-1]
    phases = [phase.model_dump(exclude_defaults=True) for phase in before.phases if phase.start < done]
    keeps = ""
    if current.lr_schedule == "cosine" and end != done:
        if phases:
            phases[-1]["decay_end"] = end
        else:
            keeps = f"training.decay_end={end} "
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
    rates = LearningRates(training)
    shown = [
        f"from step {phase.start} on {rates.at(phase.start + phase.warmup):.3g} ({phase.lr_schedule})"
        for phase in (*current, *coming)
    ]
    return f"learning rate: {'; '.join(shown)}" if shown else None
