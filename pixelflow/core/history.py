"""The evaluations that a run's metrics tell of, and the best of them: the checkpoint that ``best`` names."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Step = int | Literal["best"]
"""A checkpoint: its training step, or the one that was evaluated best."""


@dataclass(frozen=True)
class Evaluated:
    """The main figure of the weights of one step."""

    step: int
    metric: str
    """Title of the first metric, which decides."""
    value: float
    higher_is_better: bool
    images: int

    def is_comparable(self, other: Evaluated) -> bool:
        """Figures of other metrics, or of other numbers of images, are not."""
        return (self.metric, self.images) == (other.metric, other.images)

    @property
    def rank(self) -> float:
        """Least for the best."""
        return -self.value if self.higher_is_better else self.value


def line_of(step: int, images: int, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The line of metrics that tells of an evaluation."""
    told = [{key: one[key] for key in ("metric", "values", "higher_is_better")} for one in results]
    return {"step": step, "evaluation": {"images": images, "results": told}}


def evaluated(metrics_file: Path) -> list[Evaluated]:
    """What the lines of metrics tell, oldest first; a line that a crash cut off tells nothing."""
    if not metrics_file.is_file():
        return []
    return list(_told(metrics_file.read_text("utf-8", errors="replace").splitlines()))


def best_of(found: Sequence[Evaluated]) -> Evaluated | None:
    """The best of those that compare with the newest; of equal ones the earliest."""
    comparable = [one for one in found if one.is_comparable(found[-1]) and math.isfinite(one.value)]
    return min(comparable, key=lambda one: one.rank, default=None)


def _told(lines: Sequence[str]) -> Iterator[Evaluated]:
    for line in lines:
        with suppress(ValueError, LookupError, TypeError, AttributeError):  # cut off, of losses, or not ours
            body = json.loads(line)
            evaluation = body["evaluation"]
            main = evaluation["results"][0]
            (value, *_) = main["values"].values()
            yield Evaluated(
                int(body["step"]), main["metric"], float(value), main["higher_is_better"], evaluation["images"]
            )
