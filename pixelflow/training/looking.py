"""What training is given of a data set, to be looked at: ``pixelflow data``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from PIL.Image import Image
from torch import Tensor

from pixelflow.core import seeds
from pixelflow.core.fields import field_of
from pixelflow.core.interfaces import BadSample, Dataset, Sample
from pixelflow.core.spec import ExperimentSpec
from pixelflow.generation.pictures import CAPTION_CELL, CELL, grid
from pixelflow.system.errors import DataError

_NAMED = 5
"""Classes, and unreadable pictures, that are named."""
_LETTERS = 200
"""Of a caption that is shown."""


@dataclass
class Look:
    """What some elements of a data set give in the first epoch of training."""

    elements: int
    """Of the data set."""
    looked_at: int = 0
    images: list[Tensor] = field(default_factory=list)
    """The first (c h w), cut and mirrored as they are trained on."""
    titles: list[str] = field(default_factory=list)
    """Their captions, else their classes, else their places."""
    are_captioned: bool = False
    classes: Counter[str] = field(default_factory=Counter)
    captions: int = 0
    longest: str = ""
    """Caption."""
    fields: dict[str, str] = field(default_factory=dict)
    """Further fields, each with an outline of the last value."""
    bad: list[BadSample] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people: classes, captions and what cannot be read, of what was looked at."""
        seen = f" of the {self.looked_at:,} looked at" if self.looked_at < self.elements else ""
        found = []
        if self.classes:
            named = ", ".join(f"{name} {count:,}" for name, count in self.classes.most_common(_NAMED))
            more = f" and {len(self.classes) - _NAMED} more" if len(self.classes) > _NAMED else ""
            found.append(f"classes{seen}: {named}{more}")
        if self.captions:
            shown = self.longest if len(self.longest) <= _LETTERS else f"{self.longest[:_LETTERS]}..."
            per_picture = self.captions / max(1, self.looked_at)
            found.append(
                f"captions{seen}: {per_picture:.3g} a picture; the longest has {len(self.longest):,} letters, "
                f"{len(self.longest.encode()):,} bytes: {shown}"
            )
        if self.fields:
            found.append(f"fields{seen}: {', '.join(f'{name} ({value})' for name, value in self.fields.items())}")
        if self.bad:
            named = "; ".join(f"{one.where} ({one.reason})" for one in self.bad[:_NAMED])
            more = f" and {len(self.bad) - _NAMED} more" if len(self.bad) > _NAMED else ""
            found.append(f"unreadable{seen}: {len(self.bad):,}: {named}{more}")
        return found

    def picture(self) -> Image:
        """The first images with their titles; raises DataError if none can be read."""
        if not self.images:
            raise DataError(f"none of the {self.looked_at} pictures looked at can be read; {self.lines()[-1]}")
        return grid(self.images, self.titles, cell=CAPTION_CELL if self.are_captioned else CELL)


def look(spec: ExperimentSpec, dataset: Dataset, most: int, shown: int) -> Look:
    """Read `most` elements, drawn at random by the spec's seed, and keep the first `shown` readable ones."""
    found = Look(len(dataset))
    for index in Random(spec.seed).sample(range(len(dataset)), min(most, len(dataset))):
        found.looked_at += 1
        sample = dataset.sample(index, seeds.generator(spec.seed, "augment", 0, index))
        if isinstance(sample, BadSample):
            found.bad.append(sample)
            continue
        captions = dataset.captions(index)
        found.captions += len(captions)
        found.longest = max([found.longest, *captions], key=len)
        found.fields |= {name: field_of(name).outline(value) for name, value in sample.fields.items()}
        name = None if sample.label is None else dataset.classes[sample.label]
        found.classes.update([] if name is None else [name])
        if len(found.images) < shown:
            found.images.append(sample.image)
            found.titles.append(_title(sample, name, index))
            found.are_captioned = found.are_captioned or sample.caption is not None
    return found


def _title(sample: Sample, name: str | None, index: int) -> str:
    if sample.caption is None:
        return name or str(index)
    return sample.caption if name is None else f"{name}: {sample.caption}"
