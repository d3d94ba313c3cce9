"""metrics.jsonl: a line of averages every few steps and one for every evaluation, each once, whatever happened."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pixelflow.core.files import write_text, writing


@dataclass
class Window:
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

    def line(self, step: int, learning_rate: float) -> dict[str, Any]:
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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add one line.

    Raises:
        CannotWriteError: the system refuses.
    """
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def sync_lines(path: Path) -> None:
    """Wait until the disk has all lines; before a checkpoint, so that it never knows more than the metrics."""
    if path.exists():
        with writing(path), path.open("a", encoding="utf-8") as file:
            os.fsync(file.fileno())


def truncate(path: Path, step: int) -> None:
    """Drop the lines after `step`, which will be written again, and a line that a crash cut off."""
    if not path.exists():
        return
    lines = path.read_text("utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if (at := _step_of(line)) is not None and at <= step]
    if kept != lines:
        write_text(path, "".join(kept))


def _step_of(line: str) -> int | None:
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) and line.endswith("\n") else None
