"""What one metric found: as measured, recorded, shown and searched for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from pixelflow.system.records import Body


class MetricResult(BaseModel):
    """The figures of one metric, and how they came about."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    metric: str
    """Its title, with whatever makes its figures incomparable to those of other settings."""
    values: dict[str, float]
    """Named figures; the first is the main one."""
    intervals: dict[str, tuple[float, float]] = {}
    """95 % intervals (low, high) of the figures that have them; records of former versions have none."""
    higher_is_better: bool
    """Whether larger main figures are better ones."""
    settings: Body = {}
    """Of the metric; ``type`` is its name."""
    recipe: Body = {}
    """Protocol, extractors with the hashes of their weights, numbers of images, and how these were drawn."""

    @property
    def main(self) -> float:
        """The figure that decides; raises StopIteration without any."""
        return next(iter(self.values.values()))
