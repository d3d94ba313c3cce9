"""Data sets as images to measure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch

from pixelflow.core import seeds
from pixelflow.core.interfaces import BadSample, Dataset, ImageBatch, ImageSource, Sample
from pixelflow.core.plugin_use import codes
from pixelflow.data import surveys
from pixelflow.data.bad_samples import Tally
from pixelflow.system.errors import DataError

_BATCH = 64


@dataclass(frozen=True)
class SourcePart:
    """What there is between two places of a data set."""

    readable: list[Sample]
    bad: list[BadSample]
    classes: tuple[str, ...] = ()
    """Names of the labels."""

    @property
    def batch(self) -> ImageBatch:
        """The readable images; there must be one."""
        labels = [sample.label for sample in self.readable if sample.label is not None]
        captions = [sample.caption for sample in self.readable if sample.caption is not None]
        images = torch.stack([sample.image for sample in self.readable])
        return ImageBatch(
            images,
            labels if len(labels) == len(images) else None,
            captions if len(captions) == len(images) else None,
            self.classes,
        )


class Source(ImageSource, Protocol):
    """Images whose features can be kept: they are told apart from others, and can be read from any place on."""

    @property
    def tally(self) -> Tally:
        """The unreadable ones that were met."""

    @property
    def elements(self) -> int:
        """Images, readable or not."""

    @property
    def identity(self) -> str:
        """Changes when the images may have."""

    @property
    def fingerprint(self) -> str:
        """Likewise; had without reading an image, and the same for all sizes at which they are read."""

    def __len__(self) -> int:
        """Images, less those that were found to be unreadable."""

    def parts(self, start: int, stop: int) -> Iterator[SourcePart]:
        """The elements from `start` to before `stop`, few at a time; nothing is counted as unreadable yet."""


class DatasetSource:
    """The readable images of a data set, in its order; unreadable ones are named and left out (a `Source`).

    Args:
        bad_images: how many may be unreadable.
        labels, captions: one an image, in place of the data set's own.
        indices: which elements of the data set are meant; by default all.
        classes: names of the given labels, if these have any.
    """

    def __init__(
        self,
        dataset: Dataset,
        bad_images: int,
        labels: Sequence[int] | None = None,
        captions: Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        self._dataset, self._indices = dataset, indices
        self.is_labelled = labels is not None or bool(dataset.classes)
        own = dataset.classes if dataset.has_names else ()
        self.classes = tuple(own if labels is None else classes)
        """Names of the labels; empty where there are only numbers, or no labels."""
        self._labels, self._captions = labels, captions
        self.tally = Tally(bad_images, "evaluation.bad_images")

    def told(self, name: str) -> str:
        """What there is to be read, in a line."""
        told = surveys.told(self._dataset, name)
        return told if self._indices is None else f"{told}; {len(self._indices):,} of them are measured"

    def __len__(self) -> int:
        """Images, less those that were found to be unreadable."""
        return self.elements - len(self.tally.reasons)

    @property
    def elements(self) -> int:
        """Images, readable or not."""
        return len(self._dataset) if self._indices is None else len(self._indices)

    @cached_property
    def identity(self) -> str:
        """Changes when the images may have; of equal images read at two sizes it differs too."""
        shape = next(iter(self)).images.shape[1:]
        told = f"{self._dataset.type_name()} {tuple(shape)} {self.elements} {self._fingerprint}"
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """See `Source`."""
        return hashlib.sha256(f"{self._dataset.type_name()} {self._fingerprint}".encode()).hexdigest()

    @cached_property
    def _fingerprint(self) -> str:
        """The data set's, which of its images are meant, and whose code reads them."""
        chosen = "" if self._indices is None else f" {list(self._indices)}"
        code = codes(self._dataset.params)
        return f"{self._dataset.fingerprint}{chosen}" + (f" {json.dumps(code)}" if code else "")

    def __iter__(self) -> Iterator[ImageBatch]:
        """Batches of at most 64.

        Raises:
            DataError: more than the allowed number cannot be read, or all of them.
        """
        found = 0
        for part in self.parts(0, self.elements):
            self.tally.add(part.bad)
            if part.readable:
                found += 1
                yield part.batch
        if not found:
            raise DataError("there is no readable image to measure")

    def parts(self, start: int, stop: int) -> Iterator[SourcePart]:
        """The elements from `start` to before `stop`, at most 64 at a time; nothing is counted as unreadable yet."""
        for first in range(start, min(stop, self.elements), _BATCH):
            samples = [self._sample(index) for index in range(first, min(first + _BATCH, stop, self.elements))]
            yield SourcePart(
                [sample for sample in samples if isinstance(sample, Sample)],
                [sample for sample in samples if isinstance(sample, BadSample)],
                self.classes,
            )

    def _sample(self, index: int) -> Sample | BadSample:
        element = index if self._indices is None else self._indices[index]
        sample = self._dataset.sample(element, seeds.generator(0, "evaluation", element))
        if isinstance(sample, Sample) and self._labels is not None:
            sample = replace(sample, label=self._labels[index])
        if isinstance(sample, Sample) and self._captions is not None:
            sample = replace(sample, caption=self._captions[index])
        return sample
