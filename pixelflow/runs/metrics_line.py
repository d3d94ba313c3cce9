"""What a line of a run's ``metrics.jsonl`` holds: the losses of a while, of held-out images, or an evaluation."""

from __future__ import annotations

from typing import Required, TypedDict


class HeldOutLosses(TypedDict):
    """Mean losses of images that are not trained on."""

    images: int
    loss: float
    loss_by_stage: list[float | None]
    """None of a stage that no image was in."""
    averaged_loss: float
    """By the averaged weights."""


class MetricFigures(TypedDict):
    """What one metric found."""

    metric: str
    """Its title."""
    values: dict[str, float]
    higher_is_better: bool


class MetricFiguresOf(TypedDict):
    """What the metrics of an evaluation found in so many images."""

    images: int
    results: list[MetricFigures]


class MetricsLine(TypedDict, total=False):
    """One line; besides the step it has the keys of one of the three kinds."""

    step: Required[int]
    loss: float
    loss_by_stage: list[float | None]
    """None of a stage that no image was in."""
    learning_rate: float
    gradient_norm: float
    images_per_second: float
    held_out: HeldOutLosses
    evaluation: MetricFiguresOf
