"""The averages that a line of metrics holds; `pixelflow.runs.history` keeps the lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from pixelflow.runs.metrics_line import MetricsLine


@dataclass
class MetricAverages:
    """Sums since the last line. Checkpoints hold it, so that a continued run writes the line it would have written."""

    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    gradient_norm: float = 0.0
    losses: list[float] = field(default_factory=list)
    """Sum of the images' losses, by stage."""
    counts: list[int] = field(default_factory=list)
    """Images, by stage."""

    def add(self, losses: Sequence[float], counts: Sequence[int], gradient_norm: float, seconds: float) -> None:
        """Add one step."""
        self.steps += 1
        self.images += sum(counts)
        self.seconds += seconds
        self.gradient_norm += gradient_norm
        self.losses = [a + b for a, b in zip(self.losses or [0.0] * len(losses), losses, strict=True)]
        self.counts = [a + b for a, b in zip(self.counts or [0] * len(counts), counts, strict=True)]

    def line(self, step: int, learning_rate: float) -> MetricsLine:
        """The averages, as one line of metrics; a stage without images has the loss None."""
        by_stage = [loss / count if count else None for loss, count in zip(self.losses, self.counts, strict=True)]
        return {
            "step": step,
            "loss": sum(self.losses) / self.images,
            "loss_by_stage": by_stage,
            "learning_rate": learning_rate,
            "gradient_norm": self.gradient_norm / self.steps,
            "images_per_second": self.images / max(self.seconds, 1e-9),
        }

    def to_json(self) -> dict[str, object]:
        return asdict(self)
