"""Data sets as images to measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from pixelflow.core import seeds
from pixelflow.core.bad_samples import Tally
from pixelflow.core.errors import DataError
from pixelflow.core.interfaces import BadSample, Dataset, ImageBatch, Sample

_BATCH = 64


class DatasetSource:
    """All readable images of a data set, in its order; unreadable ones are named and left out (an ImageSource).

    Args:
        bad_images: how many may be unreadable.
        labels, captions: one an image, in place of the data set's own.

    Raises:
        DataError: while iterating: more than `bad_images` cannot be read, or all of them.
    """

    def __init__(
        self,
        dataset: Dataset,
        bad_images: int,
        labels: Sequence[int] | None = None,
        captions: Sequence[str] | None = None,
    ) -> None:
        self._dataset = dataset
        self._labels, self._captions = labels, captions
        self.tally = Tally(bad_images, "evaluation.bad_images")

    def __len__(self) -> int:
        """Images, less those that were found to be unreadable."""
        return len(self._dataset) - len(self.tally.reasons)

    def __iter__(self) -> Iterator[ImageBatch]:
        samples: list[Sample] = []
        found = 0
        for index in range(len(self._dataset)):
            sample = self._dataset.sample(index, seeds.generator(0, "evaluation", index))
            if isinstance(sample, BadSample):
                self.tally.add([sample])
                continue
            samples.append(self._named(sample, index))
            found += 1
            if len(samples) == _BATCH:
                yield _batch(samples)
                samples = []
        if samples:
            yield _batch(samples)
        if not found:
            raise DataError("there is no readable image to measure")

    def _named(self, sample: Sample, index: int) -> Sample:
        if self._labels is not None:
            sample = replace(sample, label=self._labels[index])
        return sample if self._captions is None else replace(sample, caption=self._captions[index])


def _batch(samples: list[Sample]) -> ImageBatch:
    labels = [sample.label for sample in samples if sample.label is not None]
    captions = [sample.caption for sample in samples if sample.caption is not None]
    images = torch.stack([sample.image for sample in samples])
    return ImageBatch(
        images, labels if len(labels) == len(samples) else None, captions if len(captions) == len(samples) else None
    )
