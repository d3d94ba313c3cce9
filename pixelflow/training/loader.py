"""An endless stream of training batches that can start at any step.

Batch ``k`` depends on the data set, the seed and ``k`` alone: the order of an epoch is drawn from (seed, epoch),
the augmentation of an image from (seed, epoch, index). How many workers read, and where the stream started,
changes nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pixelflow.core import seeds
from pixelflow.core.fields import columns
from pixelflow.core.interfaces import BadSample, Dataset, Sample
from pixelflow.data.bad_samples import Tally
from pixelflow.system.errors import DataError
from pixelflow.training.workers import read_ahead

_LISTED = 1 << 16
"""Indices of an epoch's order that are listed at a time."""


@dataclass(frozen=True)
class SizeGroup:
    """The images of a batch that have one size."""

    members: Tensor
    """(n) their places in the batch"""
    pixels: Tensor
    """(n c h w) in [-1, 1], or of 8 bits, of which `images` makes these"""

    def images(self, device: torch.device) -> Tensor:
        """(n c h w) in [-1, 1], float32, on a device; pixels of 8 bits are sent as they are."""
        pixels = self.pixels.to(device, non_blocking=True)
        if pixels.dtype != torch.uint8:
            return pixels
        # By a tensor, for a GPU multiplies by a number's inverse, which differs in the last bit.
        return pixels.float() / torch.full((), 127.5, device=device) - 1


@dataclass(frozen=True)
class Batch:
    """What one step is trained on."""

    groups: tuple[SizeGroup, ...]
    """The images, by size; one group unless the spec lets images keep their shape."""
    values: dict[str, list[object]]
    """Field -> one value an image; only the fields that all of them have."""

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from which copies to the GPU overlap with computation."""
        return Batch(tuple(SizeGroup(group.members, group.pixels.pin_memory()) for group in self.groups), self.values)


def grouped(images: Iterable[Tensor]) -> tuple[SizeGroup, ...]:
    """Images (c h w) by size, small ones first."""
    of_size: dict[tuple[int, ...], list[tuple[int, Tensor]]] = defaultdict(list)
    for place, image in enumerate(images):
        of_size[tuple(image.shape[1:])].append((place, image))
    sizes = sorted(of_size, key=lambda size: (math.prod(size), size))
    alike = [zip(*of_size[size], strict=True) for size in sizes]
    return tuple(SizeGroup(torch.tensor(places), torch.stack(own)) for places, own in alike)


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
    share: Callable[[int], Sequence[int]] | None = None,
) -> Iterator[Batch]:
    """Batches `first_step`, `first_step + 1`, ... without end; an epoch's rest joins the next epoch's start.

    Unreadable images are named in the log, once each, and another image takes their place.

    Args:
        workers: processes that read; 0 reads in this one.
        bad_images: unreadable images that are tolerated.
        share: step -> the places in its batch of what this process reads, ascending, where several train together.

    Raises:
        DataError: the data set is empty, or has more than `bad_images` unreadable images.
    """
    if len(dataset) == 0:
        raise DataError("the data set is empty: there is nothing to train on")
    reader, places = (
        _Reader(dataset, seed, bad_images),
        iter(_Places(dataset, batch_size, seed, first_step, share)),
    )
    pin = _Pin()
    readings = (
        read_ahead(reader.packed, places, workers, lambda packed: pin(packed.unpacked()))
        if workers
        else (pin(reader.read(own)) for own in places)
    )
    tally = Tally(bad_images, "training.bad_images")
    with closing(readings):  # type: ignore[type-var]
        for reading in readings:
            tally.add(reading.bad)
            if reading.batch is None:
                raise DataError(f"none of the {len(dataset)} images of the data set can be read; the log names each")
            yield reading.batch


@dataclass(frozen=True)
class _Places:
    """The places of each batch, from batch `first_step` on."""

    dataset: Dataset
    batch_size: int
    seed: int
    first_step: int
    share: Callable[[int], Sequence[int]] | None

    def __iter__(self) -> Iterator[list[Place]]:
        epoch, offset = divmod(self.first_step * self.batch_size, len(self.dataset))
        step, batch = self.first_step, list[Place]()
        while True:
            order = self.dataset.order(seeds.generator(self.seed, "order", epoch))
            for part in order[offset:].split(_LISTED):  # a list of all indices is several times as large
                for index in part.tolist():
                    batch.append(Place(epoch, index))
                    if len(batch) == self.batch_size:
                        yield batch if self.share is None else [batch[place] for place in self.share(step)]
                        step, batch = step + 1, []
            epoch, offset = epoch + 1, 0


@dataclass(frozen=True)
class _Read:
    """A batch, or None where the data set has no readable image, and the unreadable ones that were met."""

    batch: Batch | None
    bad: tuple[BadSample, ...]


@dataclass(frozen=True)
class _PackedRead:
    """The same as bytes, of which pictures of 8 bits take a quarter."""

    groups: tuple[tuple[np.ndarray, np.ndarray | Tensor], ...]
    """Members and pixels; see `_packed`."""
    values: dict[str, list[object]] | None
    bad: tuple[BadSample, ...]

    def unpacked(self) -> _Read:
        if self.values is None:
            return _Read(None, self.bad)
        groups = tuple(SizeGroup(torch.tensor(members), _copied(pixels)) for members, pixels in self.groups)
        values = {name: [_unpacked_value(one) for one in column] for name, column in self.values.items()}
        return _Read(Batch(groups, values), self.bad)


def _packed(images: Tensor) -> np.ndarray | Tensor:
    """Images (n c h w) as what pickles fast: 8-bit values where they have no other, which `_unpacked` gives back."""
    if images.dtype != torch.float32:
        return images
    pixels = ((images + 1) * 127.5).round().to(torch.uint8).numpy()
    return pixels if torch.equal(_unpacked(pixels), images) else images.numpy()


def _copied(pixels: np.ndarray | Tensor) -> Tensor:
    """Images as they were packed, in memory of their own, for the other is used again."""
    return (pixels if isinstance(pixels, Tensor) else torch.from_numpy(pixels)).clone()


def _unpacked(pixels: np.ndarray | Tensor) -> Tensor:
    """Images (n c h w) in [-1, 1], as data sets make them of 8 bits; a copy."""
    images = _copied(pixels)
    return images.float() / 127.5 - 1 if images.dtype == torch.uint8 else images


@dataclass(frozen=True)
class _PackedTensor:
    """A field's tensor; see `_packed`."""

    pixels: np.ndarray | Tensor


def _packed_value(value: object) -> object:
    return _PackedTensor(_packed(value)) if isinstance(value, Tensor) else value


def _unpacked_value(value: object) -> object:
    return _unpacked(value.pixels) if isinstance(value, _PackedTensor) else value


class _Pin:
    """Moves batches into page-locked memory, where there is a GPU, in whichever thread."""

    def __init__(self) -> None:
        self._device = torch.cuda.current_device() if torch.cuda.is_available() else None

    def __call__(self, read: _Read) -> _Read:
        if self._device is None or read.batch is None:
            return read
        with torch.cuda.device(self._device):
            return _Read(read.batch.pin_memory(), read.bad)


class _Reader:
    """Reads the places of a batch; runs in the workers."""

    def __init__(self, dataset: Dataset, seed: int, bad_images: int) -> None:
        self._dataset, self._seed, self._bad_images = dataset, seed, bad_images

    def packed(self, places: list[Place]) -> _PackedRead:
        read = self.read(places)
        if read.batch is None:
            return _PackedRead((), None, read.bad)
        groups = tuple((group.members.numpy(), _packed(group.pixels)) for group in read.batch.groups)
        values = {name: [_packed_value(one) for one in column] for name, column in read.batch.values.items()}
        return _PackedRead(groups, values, read.bad)

    def read(self, places: list[Place]) -> _Read:
        bad: list[BadSample] = []
        samples = [sample for place in places if (sample := self._sample(place, bad)) is not None]
        if len(samples) < len(places):
            return _Read(None, tuple(bad))
        images = grouped([sample.image for sample in samples])
        return _Read(Batch(images, columns(samples)), tuple(bad))

    def _sample(self, place: Place, bad: list[BadSample]) -> Sample | None:
        """The sample at a place, or at the next readable one of a walk through the whole data set; notes bad ones."""
        for met, index in enumerate(self._walk(place), start=1):
            sample = self._dataset.sample(index, seeds.generator(self._seed, "augment", place.epoch, index))
            if isinstance(sample, Sample):
                return sample
            bad.append(sample)
            if met > self._bad_images:
                break
        return None

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
