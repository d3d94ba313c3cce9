"""What a search may vary: ranges of numbers and lists of choices, each for a key of the spec.

::

    search:
      metric: frechet                       # of evaluation.metrics; or a figure of it, label_agreement.accuracy_on_real
      trials: 30
      parameters:
        sampling.guidance.scale: {low: 1, high: 4}
        sampling.steps: {low: 2, high: 32, log: true}
        sampling.sampler.type: [euler, heun]
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pixelflow.core.component import Count, Settings
from pixelflow.core.problems import problem

Changes = dict[str, object]
"""Key of a spec, written as in overrides (``sampling.steps``) -> value."""

Values = Annotated[tuple[object, ...], Field(min_length=1)]

_MOST_CORNERS = 64


class Range(Settings):
    """Numbers between two ends; whole ones where the key takes whole numbers."""

    low: int | float
    """Smallest value."""
    high: int | float
    """Largest value."""
    log: bool = False
    """Whether equal ratios count as equal distances."""
    step: int | float | None = Field(default=None, gt=0)
    """Only ``low``, ``low + step``, ...; not with ``log``."""

    @model_validator(mode="after")
    def _fits_together(self) -> Range:
        if self.low >= self.high:
            raise problem(f"must be less than high, {self.high:g}", "low")
        if self.log and self.low <= 0:
            raise problem("must be greater than 0 where log is true", "low")
        if self.log and self.step is not None:
            raise problem("goes with log: false only", "step")
        return self

    @property
    def ends(self) -> tuple[int | float, ...]:
        return self.low, self.high

    @property
    def is_whole(self) -> bool:
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 1))

    def as_real(self) -> Range:
        """The same range with every number within it."""
        return self.model_copy(update={"low": float(self.low), "high": float(self.high)})


Parameter = Range | Values

SamplerName = Literal["tpe", "random", "gp"]


class SearchSettings(Settings):
    """A search for the best values."""

    metric: str
    """What is to become best: a metric of the evaluation by its type, or a figure of it, ``type.figure``."""
    direction: Literal["minimize", "maximize"] | None = None
    """By default what is better for the metric; needed for a figure."""
    parameters: dict[str, Parameter] = Field(min_length=1)
    """Key of the spec -> its range or choices. A key that ends in ``.type`` replaces the block."""
    trials: Count
    """Points to try; a larger number goes on with those tried."""
    sampler: SamplerName = "tpe"
    """Who proposes: the tree-structured Parzen estimator, chance, or a Gaussian process."""

    @model_validator(mode="after")
    def _compares_like_with_like(self) -> SearchSettings:
        for key in self.parameters:
            if key.partition(".")[0] in ("evaluation", "name"):
                raise problem("cannot be searched over: what is measured must be the same for all", "parameters", key)
        return self


def corners(parameters: Mapping[str, Parameter]) -> Iterator[Changes]:
    """The ends of all ranges and all choices in every combination, or where these are many, each with the first."""
    ends = {key: _ends(parameter) for key, parameter in parameters.items()}
    if math.prod(map(len, ends.values())) <= _MOST_CORNERS:
        yield from (dict(zip(ends, values, strict=True)) for values in itertools.product(*ends.values()))
        return
    first = {key: values[0] for key, values in ends.items()}
    yield first
    yield from ({**first, key: value} for key, values in ends.items() for value in values[1:])


def _ends(parameter: Parameter) -> tuple[object, ...]:
    return parameter.ends if isinstance(parameter, Range) else parameter


def described(parameter: Parameter) -> str:
    """A parameter on one line: ``1 to 4``, ``2 to 32, log``, ``euler | heun``."""
    if not isinstance(parameter, Range):
        return " | ".join(choice if isinstance(choice, str) else json.dumps(choice) for choice in parameter)
    how = ", log" if parameter.log else f", step {parameter.step:g}" if parameter.step else ""
    return f"{parameter.low:g} to {parameter.high:g}{how}"
