"""An order of images: everything that decides what they look like, so that they can be drawn again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import Field

from pixelflow.core.component import Settings
from pixelflow.core.fields import CAPTION, LABEL, field_of, titles
from pixelflow.core.labels import repeated
from pixelflow.core.sizes import Size
from pixelflow.core.spec import SamplingSpec
from pixelflow.generation.editing import Editing, Edits
from pixelflow.generation.rewriting import Rewriting

MOST_IMAGES = 10_000_000
"""In one order: each has a seed of its own in memory."""

_LATER = ("fields", "edit")
"""Keys that orders did not have from the beginning."""


class WeightsSource(Settings):
    """Which weights a model has."""

    run: str
    """The run's folder."""
    step: int
    weights: str
    """``ema``, ``raw``, or the length of an average."""
    sha256: str
    """Hash of the file of weights."""


class Order(Settings):
    """All that decides what is drawn."""

    source: WeightsSource
    weak: WeightsSource | None = None
    """The weaker model of autoguidance."""
    sampling: SamplingSpec
    labels: tuple[int, ...] | None = None
    captions: tuple[str, ...] | None = None
    fields: dict[str, tuple[object, ...]] | None = None
    """Further fields, as `pixelflow.core.fields.ConditionField.kept` writes their values; they repeat in order."""
    rewriting: Rewriting | None = None
    """What the captions were before they were rewritten, and by what."""
    negatives: tuple[str, ...] | None = None
    """What guidance leads away from, in place of the empty caption."""
    size: Size | None = None
    """Height and width of the images; by default the spec's."""
    edit: Editing | None = None
    """What the images are made from, in place of noise alone."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """One an image."""
    device: str

    def titles(self, classes: Sequence[str]) -> list[str]:
        """Captions as they were asked for, class names (or numbers), what other fields say of themselves, or seeds.

        Args:
            classes: names of the labels, if they have any.
        """
        if self.rewriting is not None:
            return list(self.rewriting.prompts)
        return titles(self.values, classes) or [f"seed {seed}" for seed in self.seeds]

    @property
    def null_values(self) -> dict[str, Sequence[object]]:
        """Likewise, for what guidance leads away from."""
        return {} if self.negatives is None else {CAPTION.name: self.negatives}

    @property
    def values(self) -> dict[str, Sequence[object]]:
        """Field -> one value an image, as `pixelflow.generation.draw.draw` takes them.

        Raises:
            DataError: a value of a record is damaged.
        """
        columns: dict[str, Sequence[object] | None] = {LABEL.name: self.labels, CAPTION.name: self.captions}
        for name, kept in (self.fields or {}).items():
            columns[name] = repeated([field_of(name).restored(value) for value in kept], len(self.seeds))
        return {name: column for name, column in columns.items() if column is not None}

    def edits(self, places: Sequence[int] | None = None) -> Edits | None:
        """What the images at these places, by default all, are made from; raises DataError if a record is damaged."""
        if self.edit is None:
            return None
        places = range(len(self.seeds)) if places is None else places
        return self.edit.edits([self.seeds[place] for place in places], places)

    @property
    def recipe(self) -> dict[str, object]:
        """What decides on the images, on whichever device, as JSON; what earlier versions had not, only if it is there.

        Folders of many images are known again by it.
        """
        own: dict[str, object] = json.loads(self.model_dump_json(exclude={"device"}))
        return {key: value for key, value in own.items() if value is not None or key not in _LATER}
