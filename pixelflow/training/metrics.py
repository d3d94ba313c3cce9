"""What steps found, and the averages of it that a line of metrics holds; `pixelflow.runs.history` keeps the lines."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from pixelflow.runs.metrics_line import MetricsLine


class StepFigures:
    """Losses and gradient norm of a step, on their way from the device, so that nothing waits for them at once."""

    def __init__(self, step: int, sums: Tensor, norm: Tensor) -> None:
        """Of the step that leads to `step`.

        Args:
            sums: (2 stages) the sum of the images' losses, and their number.
            norm: a scalar.
        """
        self.step, self.seconds = step, 0.0
        self.values = torch.cat([sums.flatten(), norm.view(1)])
        self.is_spoilt = self.values.isfinite().all().logical_not().float()
        """1 where a loss or the norm is not finite, else 0; on the device."""
        self.event = None
        if self.values.device.type == "cuda":
            self.event, there = torch.cuda.Event(), self.values
            self.values = torch.empty_like(there, device="cpu", pin_memory=True).copy_(there, non_blocking=True)
            self.event.record()


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

    def add(self, figures: StepFigures) -> str | None:
        """Wait for a step's figures and add them, or say what of them is not finite, such as ``the loss of step 4``."""
        if figures.event is not None:
            figures.event.synchronize()
        *found, norm = figures.values.tolist()
        losses, counts = found[: len(found) // 2], [int(count) for count in found[len(found) // 2 :]]
        if not all(map(math.isfinite, (*losses, norm))):
            return f"the {'gradient' if all(map(math.isfinite, losses)) else 'loss'} of step {figures.step}"
        self.steps += 1
        self.images += sum(counts)
        self.seconds += figures.seconds
        self.gradient_norm += norm
        self.losses = [a + b for a, b in zip(self.losses or [0.0] * len(losses), losses, strict=True)]
        self.counts = [a + b for a, b in zip(self.counts or [0] * len(counts), counts, strict=True)]
        return None

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
