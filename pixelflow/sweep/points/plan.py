"""A sweep's plan: its points, the evaluations and trainings that they need, each known by its content.

Points that differ only in sampling or evaluation share a training; equal points share an evaluation (a cell).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from pixelflow.core import absent, reading
from pixelflow.core.component import Settings
from pixelflow.core.spec import ExperimentSpec
from pixelflow.costs.planning import Counting
from pixelflow.generation.orders import WeightsSource
from pixelflow.runs.history import Step
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.stored import stored
from pixelflow.sweep.points.keys import cell_key, run_key, training_key
from pixelflow.sweep.points.points import Point
from pixelflow.sweep.points.search import Search
from pixelflow.sweep.points.settings import SweepSettings
from pixelflow.sweep.points.space import Changes
from pixelflow.system import terminal
from pixelflow.system.errors import MissingInputError, PixelflowError
from pixelflow.system.files import writing
from pixelflow.system.records import FileKind

FILE = "sweep.json"
"""A sweep's plan, within its folder."""


PLAN = FileKind("a sweep's plan", "run the sweep again to write it anew")


class CellCost(Settings):
    """What a cell costs; see `pixelflow.costs.planning.Costs`."""

    parameters: int
    sample_macs: float
    """Of one finished image."""
    training_flop: float
    """Of the training that it needs."""
    is_estimate: bool
    """Whether the sampler chooses its own steps, so that `sample_macs` is an estimate."""


class Cell(Settings):
    """One evaluation."""

    training: str
    """Key of the training."""
    spec: ExperimentSpec
    cost: CellCost


class Planned(Settings):
    """A point of the sweep."""

    changes: Changes
    cell: str
    """Key of its evaluation."""
    trial: int | None = None
    """Number in a search."""

    @property
    def label(self) -> str:
        """What sets it apart, on one line."""
        return ", ".join(f"{short(key)} {shown(value)}" for key, value in self.changes.items()) or "base"


class Plan(Settings):
    """All that a sweep does, as it stands in its folder. A search's grows while it runs."""

    name: str
    axes: tuple[str, ...]
    """Keys that vary."""
    points: tuple[Planned, ...]
    cells: dict[str, Cell]
    trainings: dict[str, ExperimentSpec]
    run: WeightsSource | None = None
    """The weights that all points share, where they are not trained by the sweep."""
    search: Search | None = None
    """Where further points come from."""
    refused: dict[int, str] = Field(default={})
    """Trials of the search that are no points, since their settings do not go together, and why."""

    @classmethod
    def of(cls, settings: SweepSettings, points: Sequence[Point], search: Search | None = None) -> Plan:
        """Count what every point costs and find what they share. A search begins with none.

        Raises:
            SpecError, UsageError, MissingInputError, DataError: a point's parts do not go together, or its data
                are needed and not there.
        """
        empty = cls(
            name=settings.name,
            axes=tuple(settings.keys),
            points=(),
            cells={},
            trainings={},
            run=None if settings.run is None else _weights(settings.run, settings.step, str(settings.weights or "ema")),
            search=search,
        )
        return empty if search else empty.with_points(points)

    def with_points(self, points: Sequence[Point]) -> Plan:
        """The plan with further points; raises as `of` does."""
        planned, cells, trainings = list(self.points), dict(self.cells), dict(self.trainings)
        counting = Counting()
        for point in points:
            training = training_key(point.spec) if self.run is None else run_key(self.run.sha256)
            cell = cell_key(point.spec, training)
            planned.append(Planned(changes=point.changes, cell=cell, trial=point.trial))
            if cell not in cells:
                cost = _cost(counting, point.spec, planned[-1].label)
                if self.run is not None:
                    cost = cost.model_copy(update={"training_flop": 0.0})
                cells[cell] = Cell(training=training, spec=point.spec, cost=cost)
            if self.run is None:
                trainings.setdefault(training, point.spec.model_copy(update={"name": training}))
        return self.model_copy(update={"points": tuple(planned), "cells": cells, "trainings": trainings})

    @property
    def trials_left(self) -> int:
        """How many points the search will still add."""
        return max(0, self.search.trials - len(self.points) - len(self.refused)) if self.search else 0

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan of a sweep's folder.

        Raises:
            MissingInputError: there is none.
            DataError: it is damaged.
        """
        file = folder / FILE
        if folder.is_file():
            raise MissingInputError(f"{folder}: is a file; give the sweep's folder, such as sweeps/NAME")
        if not file.exists():
            raise MissingInputError(f"{folder}: is no sweep (it holds no {FILE}); pixelflow sweep run makes one")
        with absent.allowed(absent.by_name):  # so that a report outlives the plugins
            return reading.validate(cls, reading.Document(str(file), PLAN.read(file)), terminal.be_silent)

    def write(self, folder: Path) -> None:
        """Put it into the sweep's folder; raises CannotWriteError."""
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        PLAN.write(folder / FILE, self.model_dump(mode="json"))


def _weights(run: Path, step: Step | None, weights: str) -> WeightsSource:
    """Weights of a run, by their hash: should it be trained further, these are meant.

    Raises:
        MissingInputError: there is no such checkpoint, or it holds no such weights.
    """
    folder = RunFolder(run)
    found = stored(folder, folder.step_of(step), weights)
    return WeightsSource(run=str(run.resolve()), step=found.step, weights=found.weights, sha256=found.sha256)


def _cost(counting: Counting, spec: ExperimentSpec, label: str) -> CellCost:
    try:
        found = counting.costs(spec)
    except PixelflowError as error:
        raise type(error)(*(f"point {label}: {line}" for line in error.lines)) from None
    return CellCost(
        parameters=found.parameters,
        sample_macs=found.sample_macs,
        training_flop=found.training_flop,
        is_estimate=found.is_adaptive,
    )


def short(key: str) -> str:
    """A key without the blocks around it: ``guidance.scale`` for ``sampling.guidance.scale``."""
    parts = key.removesuffix(".type").split(".")
    return ".".join(parts[1:] or parts)


def shown(value: object) -> str:
    """A value on one line: ``stagewise(scale 2.4)``, ``10/20``, ``1.5``."""
    if isinstance(value, dict):
        inner = ", ".join(f"{key} {shown(one)}" for key, one in value.items() if key != "type")
        return f"{value.get('type', '')}({inner})" if inner else str(value.get("type", ""))
    if isinstance(value, (list, tuple)):
        return "/".join(map(shown, value))
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
