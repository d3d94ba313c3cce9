"""A sweep file: a base spec and the changes that make its points.

::

    name: digits-steps
    base: ../digits.yaml                # relative to this file
    set: {training.steps: 600}          # changes for all points
    axes:                               # or  points: a list of blocks of changes, or  search: see `space`
      sampling.steps: [2, 5, 10]
      sampling.sampler.type: [euler, heun]
    skip: [{sampling.steps: 2, sampling.sampler.type: euler}]
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pixelflow.core.component import Count, Settings
from pixelflow.core.problems import problem
from pixelflow.core.spec import ExperimentSpec
from pixelflow.sweep.executors import AnyExecutor, Local
from pixelflow.sweep.points.space import Changes, SearchSettings, Values

TRAININGS, CELLS = "trainings", "cells"
"""Folders beside those of the sweeps."""


class ExecutorSettings(Settings):
    """An executor on its own, as the command line names it."""

    executor: AnyExecutor


class SweepSettings(Settings):
    """What a sweep file may hold."""

    name: str
    """Names the sweep's folder."""
    base: Path | None = None
    """The spec that every point changes, relative to the sweep file."""
    run: Path | None = None
    """In place of ``base`` a finished run, relative to the current directory: only sampling and evaluation vary."""
    step: Annotated[int, Field(ge=0)] | Literal["best"] | None = None
    """Of the run's checkpoint; by default the newest."""
    weights: Literal["ema", "raw"] | float | None = None
    """Of the run: the averaged ones (default), those that the optimizer left, or an average by its length."""
    set: Changes = Field(default={})
    """Changes that all points share."""
    axes: dict[str, Values] = Field(default={})
    """Key of the spec -> its values. A key that ends in ``.type`` replaces the block. Or give points or a search."""
    mode: Literal["grid", "zip", "random"] = "grid"
    """How axes make points: every combination, first with first and second with second, or some combinations."""
    count: Count | None = None
    """Points of a random sweep; a larger count keeps the points of a smaller one."""
    seed: int = Field(default=0, ge=0)
    """Chooses the points of a random sweep and of a search."""
    points: tuple[Changes, ...] = Field(default=())
    """The points themselves, each a block of changes."""
    search: SearchSettings | None = None
    """Points that Optuna proposes, one after the other, from what it learns of those before."""
    skip: tuple[Changes, ...] = Field(default=())
    """Points left out: all that have these values."""

    executor: AnyExecutor = Field(default_factory=Local)
    """Where the workers run."""

    @field_validator("name")
    @classmethod
    def _usable_as_folder(cls, name: str) -> str:
        if name in (TRAININGS, CELLS):
            raise ValueError(f"{name!r} is what the folder of all {name} is called; choose another")
        return ExperimentSpec._usable_as_folder(name)

    @model_validator(mode="after")
    def _fits_together(self) -> SweepSettings:
        if (self.base is None) == (self.run is None):
            raise problem("give exactly one of 'base' (a spec) and 'run' (a run that is trained)")
        for key in ("step", "weights"):
            if self.run is None and getattr(self, key) is not None:
                raise problem("chooses weights of a 'run'; those of a 'base' are trained", key)
        if bool(self.axes) + bool(self.points) + (self.search is not None) != 1:
            raise problem("give exactly one of 'axes', 'points' and 'search'")
        lengths = {key: len(values) for key, values in self.axes.items()}
        if self.mode == "zip" and len(set(lengths.values())) > 1:
            told = ", ".join(f"{key} has {length}" for key, length in lengths.items())
            raise problem(f"mode zip needs as many values on every axis; {told}", "axes")
        if (self.mode == "random") != (self.count is not None):
            raise problem("mode random needs 'count', and only mode random has one", "mode")
        self._check_skipped()
        return self

    def _check_skipped(self) -> None:
        if self.skip and self.search is not None:
            raise problem("a search has no points to leave out", "skip")
        known = self.keys
        for index, changes in enumerate(self.skip):
            for key in changes:
                if key not in known:
                    raise problem(f"is no axis{_near(key, known)}", "skip", index, key)

    @property
    def keys(self) -> list[str]:
        """What varies between points, in the file's order."""
        named = [key for point in self.points for key in point]
        return list(dict.fromkeys([*self.axes, *named, *(self.search.parameters if self.search else ())]))


def _near(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f" (there are: {', '.join(known)})"
