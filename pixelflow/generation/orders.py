"""An order of images: everything that decides what they look like, so that they can be drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from pixelflow.core.component import Settings
from pixelflow.core.sizes import Size
from pixelflow.core.spec import SamplingSpec
from pixelflow.generation.rewriting import Rewriting

MOST_IMAGES = 10_000_000
"""In one order: each has a seed of its own in memory."""


class Source(Settings):
    """Which weights a model has."""

    run: str
    """The run's folder."""
    step: int
    weights: str
    """``ema`` or ``raw``."""
    sha256: str
    """Hash of the file of weights."""


class Order(Settings):
    """All that decides what is drawn."""

    source: Source
    weak: Source | None = None
    """The weaker model of autoguidance."""
    sampling: SamplingSpec
    labels: tuple[int, ...] | None = None
    captions: tuple[str, ...] | None = None
    rewriting: Rewriting | None = None
    """What the captions were before they were rewritten, and by what."""
    negatives: tuple[str, ...] | None = None
    """What guidance leads away from, in place of the empty caption."""
    size: Size | None = None
    """Height and width of the images; by default the spec's."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """One an image."""
    device: str

    def titles(self, classes: Sequence[str]) -> list[str]:
        """Captions as they were asked for, class names (or numbers), or seeds.

        Args:
            classes: names of the labels, if they have any.
        """
        if self.rewriting is not None:
            return list(self.rewriting.prompts)
        if self.captions is not None:
            return list(self.captions)
        if self.labels is not None:
            return [classes[label] if label < len(classes) else str(label) for label in self.labels]
        return [f"seed {seed}" for seed in self.seeds]

    @property
    def null_values(self) -> dict[str, Sequence[Any]]:
        """Likewise, for what guidance leads away from."""
        return {} if self.negatives is None else {"caption": self.negatives}

    @property
    def values(self) -> dict[str, Sequence[Any]]:
        """Field -> one value an image, as `pixelflow.generation.draw.draw` takes them."""
        given = {"label": self.labels, "caption": self.captions}
        return {field: column for field, column in given.items() if column is not None}
