"""A search as its sweep's folder keeps it: what is to become best, over which space, from which spec."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from pixelflow.core.component import Count, Settings
from pixelflow.core.document import Document
from pixelflow.core.former_keys import first_named, renamed
from pixelflow.core.problems import problem
from pixelflow.core.spec import EvaluationSpec, ExperimentSpec
from pixelflow.runs.metric_result import MetricResult
from pixelflow.sweep.points.space import Parameter, SamplerName, SearchSettings
from pixelflow.system import terminal
from pixelflow.system.errors import SpecError


class SearchObjective(Settings):
    """A figure of the evaluation, and which way is better."""

    metric: str
    """Type of the metric."""
    figure: str | None
    """Name of the figure; None for the main one."""
    maximize: bool

    @classmethod
    def of(cls, search: SearchSettings, evaluation: EvaluationSpec) -> SearchObjective:
        """The figure that a search names; raises `problem` naming those that the evaluation has."""
        kinds = [params.component for params in evaluation.metrics]
        known = [kind.type_name() for kind in kinds]
        metric, figure = (search.metric, None) if search.metric in known else _split(search.metric)
        if metric not in known:
            near = difflib.get_close_matches(search.metric, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise problem(f"evaluation.metrics has no {metric!r}{hint} (there are: {', '.join(known)})", "metric")
        if known.count(metric) > 1:
            raise problem(f"evaluation.metrics has more than one {metric!r}; leave one", "metric")
        figures = kinds[known.index(metric)].figures  # type: ignore[attr-defined]
        if figure is not None and figures and figure not in figures:
            raise problem(f"{metric} gives no {figure!r} (it gives: {', '.join(figures)})", "metric")
        if figure is not None and search.direction is None:
            raise problem("must be 'minimize' or 'maximize' where 'metric' names a figure", "direction")
        better = kinds[known.index(metric)].higher_is_better  # type: ignore[attr-defined]
        maximize = better if search.direction is None else search.direction == "maximize"
        return cls(metric=metric, figure=figure, maximize=maximize)

    @property
    def title(self) -> str:
        return self.metric if self.figure is None else f"{self.metric}.{self.figure}"

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """As Optuna calls it."""
        return "maximize" if self.maximize else "minimize"

    def is_at(self, result: MetricResult, place: int) -> bool:
        """Whether it is the figure at this place of a metric's result."""
        is_figure = place == 0 if self.figure is None else list(result.values)[place] == self.figure
        return is_figure and result.settings["type"] == self.metric

    def value(self, results: Sequence[MetricResult]) -> float:
        """The figure in what an evaluation found; raises SpecError naming the figures that there are."""
        values = next(one.values for one in results if one.settings["type"] == self.metric)
        figure = next(iter(values)) if self.figure is None else self.figure
        if figure not in values:
            raise SpecError(f"search.metric: {self.metric} gives no {figure!r} (it gives: {', '.join(values)})")
        return values[figure]


class Search(Settings):
    """Everything that makes the points of a search."""

    objective: SearchObjective
    parameters: dict[str, Parameter]
    trials: Count
    sampler: SamplerName
    seed: int
    base: dict[str, object]
    """The spec that the points change."""

    @property
    def document(self) -> Document:
        """The same as a document with today's keys."""
        return renamed(ExperimentSpec, Document("base", self.base), terminal.be_silent)

    @property
    def key(self) -> str:
        """A name for everything but the number of trials: a search with more of them is the same one, gone on with."""
        told = self.model_dump(mode="json", exclude={"trials"})
        content = json.dumps({**told, "base": first_named(ExperimentSpec, self.base)}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


def _split(name: str) -> tuple[str, str | None]:
    metric, dot, figure = name.rpartition(".")
    return (metric, figure) if dot else (figure, None)
