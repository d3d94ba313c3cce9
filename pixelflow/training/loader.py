"""An endless stream of training batches that can start at any step.

Batch ``k`` depends on the data set, the seed and ``k`` alone: the order of an epoch is drawn from (seed, epoch),
the augmentation of an image from (seed, epoch, index). How many workers read, and where the stream started,
changes nothing.
"""

from __future__ import annotations

import math
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from pixelflow.core import seeds
from pixelflow.core.bad_samples import Tally
from pixelflow.core.errors import DataError
from pixelflow.core.interfaces import BadSample, Dataset, Sample
from pixelflow.training.stopping import REQUESTS

_PREFETCH = 4
"""Batches that each worker reads ahead."""


@dataclass(frozen=True)
class Alike:
    """The images of a batch that have one size."""

    members: Tensor
    """(n) their places in the batch"""
    images: Tensor
    """(n c h w) in [-1, 1]"""


@dataclass(frozen=True)
class Batch:
    """What one step is trained on."""

    groups: tuple[Alike, ...]
    """The images, by size; one group unless the spec lets images keep their shape."""
    values: dict[str, list[Any]]
    """Field ("label", "caption") -> one value an image; only the fields that the data set has."""

    def __len__(self) -> int:
        """Images."""
        return sum(len(group.members) for group in self.groups)

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from which copies to the GPU overlap with computation."""
        return Batch(tuple(Alike(group.members, group.images.pin_memory()) for group in self.groups), self.values)


def grouped(images: Iterable[Tensor]) -> tuple[Alike, ...]:
    """Images (c h w) by size, small ones first."""
    of_size: dict[tuple[int, ...], list[tuple[int, Tensor]]] = defaultdict(list)
    for place, image in enumerate(images):
        of_size[tuple(image.shape[1:])].append((place, image))
    sizes = sorted(of_size, key=lambda size: (math.prod(size), size))
    alike = [zip(*of_size[size], strict=True) for size in sizes]
    return tuple(Alike(torch.tensor(places), torch.stack(own)) for places, own in alike)


@dataclass(frozen=True)
class Place:
    """One element of the stream."""

    epoch: int
    index: int


def batches(
    dataset: Dataset,
    *,
    batch_size: int,
    seed: int,
    workers: int,
    first_step: int,
    bad_images: int,
    share: slice = slice(None),
) -> Iterator[Batch]:
    """Batches `first_step`, `first_step + 1`, ... without end; an epoch's rest joins the next epoch's start.

    Unreadable images are named in the log, once each, and another image takes their place.

    Args:
        workers: processes that read; 0 reads in this one.
        bad_images: unreadable images that are tolerated.
        share: the part of each batch that this process reads, where several train together.

    Raises:
        DataError: the data set is empty, or has more than `bad_images` unreadable images.
    """
    if len(dataset) == 0:
        raise DataError("the data set is empty: there is nothing to train on")
    loader = DataLoader(
        _Reader(dataset, seed, bad_images),
        batch_sampler=_Places(len(dataset), batch_size, seed, first_step, share),
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_leave_signals_to_parent,
        prefetch_factor=_PREFETCH if workers else None,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # or it would draw from the global one
    )
    tally = Tally(bad_images, "training.bad_images")
    for batch, bad in loader:
        tally.add(bad)
        if batch is None:
            raise DataError(f"none of the {len(dataset)} images of the data set can be read; the log names each")
        yield batch


@dataclass(frozen=True)
class _Places:
    """The places of each batch, from batch `first_step` on."""

    count: int
    batch_size: int
    seed: int
    first_step: int
    share: slice

    def __iter__(self) -> Iterator[list[Place]]:
        epoch, offset = divmod(self.first_step * self.batch_size, self.count)
        batch: list[Place] = []
        while True:
            order = torch.randperm(self.count, generator=seeds.generator(self.seed, "order", epoch))
            for index in order[offset:].tolist():
                batch.append(Place(epoch, index))
                if len(batch) == self.batch_size:
                    yield batch[self.share]
                    batch = []
            epoch, offset = epoch + 1, 0


@dataclass(frozen=True)
class _Reading:
    """A sample, and the unreadable ones that were met on the way to it."""

    sample: Sample | None
    bad: tuple[BadSample, ...]


class _Reader(TorchDataset[_Reading]):
    """Reads places; runs in the workers."""

    def __init__(self, dataset: Dataset, seed: int, bad_images: int) -> None:
        self._dataset, self._seed, self._bad_images = dataset, seed, bad_images

    def __getitem__(self, place: Place) -> _Reading:
        """The sample at a place, or at the next readable one of a walk through the whole data set."""
        bad: list[BadSample] = []
        for index in self._walk(place):
            sample = self._dataset.sample(index, seeds.generator(self._seed, "augment", place.epoch, index))
            if isinstance(sample, Sample):
                return _Reading(sample, tuple(bad))
            bad.append(sample)
            if len(bad) > self._bad_images:
                break
        return _Reading(None, tuple(bad))

    def _walk(self, place: Place) -> Iterator[int]:
        """Every index once, in an order that differs from place to place."""
        count = len(self._dataset)
        yield place.index
        generator = seeds.generator(self._seed, "replacement", place.epoch, place.index)
        stride = int(torch.randint(1, count + 1, (), generator=generator))
        while math.gcd(stride, count) != 1:
            stride += 1
        for step in range(1, count):
            yield (place.index + step * stride) % count


def _collate(readings: list[_Reading]) -> tuple[Batch | None, list[BadSample]]:
    bad = [sample for reading in readings for sample in reading.bad]
    samples = [reading.sample for reading in readings if reading.sample is not None]
    if len(samples) < len(readings):
        return None, bad
    fields: dict[str, list[Any]] = {
        "label": [sample.label for sample in samples],
        "caption": [sample.caption for sample in samples],
    }
    values = {name: column for name, column in fields.items() if None not in column}
    return Batch(grouped([sample.image for sample in samples]), values), bad


def _leave_signals_to_parent(worker: int) -> None:
    """A signal to the whole process group must not kill workers while the parent still saves."""
    for number in REQUESTS:
        signal.signal(number, signal.SIG_IGN)
