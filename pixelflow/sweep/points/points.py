"""From a sweep file to its points: every one a validated spec, before anything starts."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pixelflow.core import reading
from pixelflow.core.document import Document
from pixelflow.core.former_keys import first_named
from pixelflow.core.problems import problem
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs.runfolder import RunFolder
from pixelflow.sweep.points.search import Search, SearchObjective
from pixelflow.sweep.points.settings import SweepSettings
from pixelflow.sweep.points.space import Changes, Parameter, Range, SearchSettings, corners
from pixelflow.system.errors import SpecError

MOST_POINTS = 10_000


@dataclass(frozen=True)
class Point:
    """One experiment of a sweep."""

    changes: Changes
    """What sets it apart from the other points."""
    spec: ExperimentSpec
    trial: int | None = None
    """Number in a search."""


class Sweep(NamedTuple):
    """What a sweep file says."""

    settings: SweepSettings
    points: list[Point]
    """All of them; of a search the corners of its space, which stand for the points to come."""
    search: Search | None


def read_sweep(path: Path) -> Sweep:
    """The sweep of a file and all its points.

    Raises:
        MissingInputError: the file or its base is not there.
        SpecError: a line for every problem of the file and of every point, with its place.
    """
    document = reading.read_document(path)
    if isinstance(document.data, dict) and "cascade" in document.data and "base" not in document.data:
        raise SpecError(f"{path}: is the spec of one experiment; train it with  pixelflow train {path}")
    settings = reading.validate(SweepSettings, document)
    base = _base(settings, document, path.parent)
    for key, value in settings.set.items():
        base = _assigned(base, key, value, document.place(("set", key)))
    points: list[Point] = []
    problems: list[str] = []
    for keys, changes in _chosen(settings, document):
        try:
            points.append(Point(changes, changed_spec(base, changes, [document.place(key) for key in keys])))
        except SpecError as error:
            problems += error.lines
    if problems:
        raise SpecError(*dict.fromkeys(problems))
    asked = settings.search
    return Sweep(settings, points, _search(asked, settings.seed, document, base, points) if asked else None)


def _base(settings: SweepSettings, document: Document, beside: Path) -> Document:
    """What all points change; raises SpecError where one would change how a finished run was trained."""
    if settings.run is None:
        assert settings.base is not None
        return reading.read_document(beside / settings.base)
    places: list[Place] = [("set", key) for key in settings.set]
    places += [place for places_of, _ in _candidates(settings)[:1] for place in places_of]
    places += [("points", index, key) for index, point in enumerate(settings.points) for key in point]
    for place in places:
        if str(place[-1]).partition(".")[0] not in ("sampling", "evaluation"):
            raise SpecError(
                f"{document.place(place)} {place[-1]}: of a run that is trained only sampling.* and evaluation.* can "
                "vary; give  base: SPEC  in place of run: to train"
            )
    return RunFolder(settings.run).document


def _search(asked: SearchSettings, seed: int, document: Document, base: Document, points: Sequence[Point]) -> Search:
    """The search with everything that it needs to make points; raises SpecError on an objective that is not there."""
    try:
        objective = SearchObjective.of(asked, points[0].spec.evaluation)
    except problem as error:
        text, (key,) = (error.context or {})["text"], (error.context or {})["path"]
        raise SpecError(f"{document.place(('search', key))} search.{key}: {text}") from None
    dumps = [point.spec.model_dump(mode="json") for point in points]
    space = {key: _typed(parameter, key, dumps) for key, parameter in asked.parameters.items()}
    return Search(
        objective=objective,
        parameters=space,
        trials=asked.trials,
        sampler=asked.sampler,
        seed=seed,
        base=base.data,
    )


def _typed(parameter: Parameter, key: str, dumps: Sequence[object]) -> Parameter:
    """Whole ends mean real numbers where the spec has real ones."""
    if isinstance(parameter, Range) and any(isinstance(value_at(dump, key), float) for dump in dumps):
        return parameter.as_real()
    return parameter


Place = tuple[str | int, ...]


def _chosen(settings: SweepSettings, document: Document) -> Iterator[tuple[list[Place], Changes]]:
    """Changes of every point that is not skipped, each with its place in the sweep file.

    Raises:
        SpecError: there are too many points, or none, or nothing to skip.
    """
    _check_number(settings, document)
    candidates = _candidates(settings)
    used = [False] * len(settings.skip)
    kept = []
    for places, changes in candidates:
        hits = [_holds(changes, skipped) for skipped in settings.skip]
        used = [before or now for before, now in zip(used, hits, strict=True)]
        if not any(hits):
            kept.append((places, changes))
    for index, is_used in enumerate(used):
        if not is_used:
            raise SpecError(f"{document.place(('skip', index))} skip.{index}: no point has these values")
    if not kept:
        raise SpecError(f"{document.place(('skip',))} skip: leaves no point")
    yield from _drawn(kept, settings) if settings.mode == "random" else kept


def _check_number(settings: SweepSettings, document: Document) -> None:
    count = math.prod(len(values) for values in settings.axes.values())
    if settings.mode != "zip" and count > MOST_POINTS:
        raise SpecError(f"{document.place(('axes',))} axes: make {count} points; at most {MOST_POINTS} are allowed")


def _candidates(settings: SweepSettings) -> list[tuple[list[Place], Changes]]:
    if settings.search is not None:
        return _cornered(settings.search)
    return _listed(settings) if settings.points else _combined(settings)


def _cornered(search: SearchSettings) -> list[tuple[list[Place], Changes]]:
    places: list[Place] = [("search", "parameters", key) for key in search.parameters]
    return [(places, changes) for changes in corners(search.parameters)]


def _listed(settings: SweepSettings) -> list[tuple[list[Place], Changes]]:
    return [([("points", index, key) for key in point], point) for index, point in enumerate(settings.points)]


def _combined(settings: SweepSettings) -> list[tuple[list[Place], Changes]]:
    join: Callable[..., Iterable[tuple[object, ...]]] = zip if settings.mode == "zip" else itertools.product
    places: list[Place] = [("axes", key) for key in settings.axes]
    combinations = join(*settings.axes.values())
    return [(places, dict(zip(settings.axes, values, strict=True))) for values in combinations]


def _holds(changes: Changes, wanted: Changes) -> bool:
    return all(key in changes and _text(changes[key]) == _text(value) for key, value in wanted.items())


def _drawn(points: list[tuple[list[Place], Changes]], settings: SweepSettings) -> list[tuple[list[Place], Changes]]:
    """`count` of the points. Each has its own lot, so that a larger count, or another value, keeps those drawn."""

    def lot(point: tuple[list[Place], Changes]) -> str:
        return hashlib.sha256(f"{settings.seed}/{_text(point[1])}".encode()).hexdigest()

    lucky = {id(point) for point in sorted(points, key=lot)[: settings.count]}
    return [point for point in points if id(point) in lucky]


def changed_spec(base: Document, changes: Changes, places: Sequence[str]) -> ExperimentSpec:
    """The base with changes applied; a block's type first, since it replaces the block.

    Raises:
        SpecError: a line for every problem, at the changes' places.
    """
    placed = sorted(zip(changes.items(), places, strict=True), key=lambda change: not change[0][0].endswith(".type"))
    for (key, value), place in placed:
        base = _assigned(base, key, value, place)
    return reading.validate(ExperimentSpec, base)


def _assigned(document: Document, key: str, value: object, place: str) -> Document:
    return reading.override(document, [f"{key}={_text(value)}"], place)


def _text(value: object) -> str:
    """A value as JSON, which is YAML too."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def value_at(dump: object, key: str) -> object:
    """What a spec's dump holds under a key, also one of earlier versions; None where it has no such key."""
    found = _value_at(dump, key)
    return _value_at(first_named(ExperimentSpec, dump), key) if found is None else found


def _value_at(dump: object, key: str) -> object:
    for part in key.split("."):
        dump = dump.get(part) if isinstance(dump, dict) else None
    return dump
