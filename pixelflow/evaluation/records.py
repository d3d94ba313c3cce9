"""What came of an evaluation, and where it is kept: no evaluation takes the place of another one."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from pixelflow.core.interfaces import Metric
from pixelflow.runs.metric_result import MetricResult
from pixelflow.system.errors import PixelflowError, first_line
from pixelflow.system.files import writing
from pixelflow.system.records import Body, FileKind

log = logging.getLogger(__name__)


class _Result(BaseModel):
    settings: dict[str, object]


class _Record(BaseModel):
    results: list[_Result]


EVALUATION = FileKind("a record of an evaluation", "it is left as it is, and not believed", _Record)

SAMPLING = ("sampler", "guidance", "steps", "grid")
"""How images were drawn, as the recipe of a result keeps it."""
_FIRST = "evaluation.json"
_DIGEST = "evaluation"
"""Key of a record, for what tells its evaluation from others."""


@dataclass(frozen=True)
class MetricOutcome:
    """What came of one metric: its result, or why there is none."""

    metric: Metric
    result: MetricResult | None = None
    error: Exception | None = None

    @property
    def told(self) -> Body:
        """For the record."""
        if self.result is not None:
            return self.result.model_dump()
        return {
            "metric": self.metric.title,
            "settings": self.metric.params.model_dump(mode="json"),
            "values": {},
            "error": self.reason,
        }

    @property
    def reason(self) -> str:
        """Why there is no result, with the metric's name."""
        error = self.error
        assert error is not None
        text = str(error) if isinstance(error, PixelflowError) else f"{type(error).__name__}: {first_line(error)}"
        return text if self.metric.type_name() in text else f"{self.metric.title}: {text}"


def results_of(outcomes: Sequence[MetricOutcome]) -> list[MetricResult]:
    """The results of the metrics that did not fail."""
    return [outcome.result for outcome in outcomes if outcome.result is not None]


def check(outcomes: Sequence[MetricOutcome]) -> None:
    """Raise for the metrics that failed: one error with a line for each, or the first that nobody foresaw as it is."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    for error in errors:
        if not isinstance(error, PixelflowError):
            raise error
    if errors:
        raise type(errors[0])(*(outcome.reason for outcome in outcomes if outcome.error is not None))


class Figure(NamedTuple):
    """A figure, and the training step whose weights it is of; None where that is not known."""

    value: float
    step: int | None


Figures = dict[tuple[str, tuple[tuple[str, str], ...]], Figure]
"""(``"frechet, random_conv: distance (2,000 images)"``, how it was measured) -> figure; only those that were measured
in the same way can be compared."""


def figures(evaluations: Path, step: int | None = None, weights: str | None = None) -> Figures:
    """Those of all records in a run's folder of evaluations.

    Of several, that of the latest training step counts, and of these the newest record.

    Args:
        step, weights: of what was measured; by default of any.
    """
    found: Figures = {}
    files = [(file.stat().st_mtime, _read(file)) for file in evaluations.glob("*/evaluation*.json")]
    records = [(time, body, result) for time, body in files for result in _results_in(body)]
    for _, body, result in sorted(records, key=lambda one: (one[2].recipe.get("step") or 0, one[0])):
        of = (result.recipe.get("step"), result.recipe.get("weights"))
        if any(asked not in (None, own) for asked, own in zip((step, weights), of, strict=True)):
            continue
        images = result.recipe.get("images")
        behind = "" if images is None else f" ({images:,} images)"
        for name, value in result.values.items():
            found[f"{result.metric}: {name}{behind}", _how(body, result)] = Figure(value, result.recipe.get("step"))
    return found


def _how(body: Body, result: MetricResult) -> tuple[tuple[str, str], ...]:
    """What a figure depends on beside the metric, the weights and the seed."""
    reference = body.get("reference", {})
    told = {"reference": {key: reference[key] for key in reference if key not in ("unreadable", "recipe")}}
    told |= {key: result.recipe[key] for key in ("weights", *SAMPLING) if key in result.recipe}
    return tuple((key, _in_short(value)) for key, value in told.items())


def _in_short(value: object) -> str:
    """``constant 1.5`` of a guidance's settings."""
    if isinstance(value, Mapping):
        return " ".join(filter(None, map(_in_short, value.values())))
    return ", ".join(map(_in_short, value)) if isinstance(value, list) else "" if value is None else str(value)


def digest_of(told: Mapping[str, object]) -> str:
    """A short name of all that decides on the figures."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:10]


def write(folder: Path, digest: str, body: Mapping[str, object], outcomes: Sequence[MetricOutcome]) -> Path:
    """Write a record as ``evaluation.json``, or as ``evaluation-DIGEST.json`` where another evaluation has that name.

    An earlier record of the same evaluation is replaced; of a metric that failed, its result is kept.

    Raises:
        CannotWriteError: the system refuses.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    file = _place(folder, digest)
    known = _read(file)["results"] if file.exists() else []
    before = {_name(one): one for one in known if "error" not in one}
    told = [outcome.told for outcome in outcomes]
    results = [before.get(_name(one), one) if "error" in one else one for one in told]
    EVALUATION.write(file, {**body, _DIGEST: digest, "results": results})
    return file


def _results_in(body: Body) -> Iterator[MetricResult]:
    """Of the metrics that did not fail, as far as it is a record."""
    for result in body["results"]:
        with suppress(ValidationError):
            yield MetricResult.model_validate(result)


def _name(result: Mapping[str, object]) -> str:
    """What tells a metric's result from those of others: all of its settings."""
    return json.dumps(result["settings"], sort_keys=True)


def _place(folder: Path, digest: str) -> Path:
    first, own = folder / _FIRST, folder / f"evaluation-{digest}.json"
    is_free = not first.exists() or _read(first).get(_DIGEST) == digest
    return first if is_free and not own.exists() else own


def _read(file: Path) -> Body:
    """A record as far as it is one; somebody else's file, or a damaged one, has no digest and no results."""
    try:
        return EVALUATION.read(file)
    except PixelflowError as error:
        log.warning("%s", error)
        return {"results": []}
