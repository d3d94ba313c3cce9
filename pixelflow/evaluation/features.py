"""Features of a set of images, in shards on disk: extracted once, and gone on with after a stop.

::

    FOLDER/recipe.json       which extractor and images
           00000000.npz      features of the first 512 images, and which of these cannot be read
           00000512.npz ...

A shard appears at once and carries a hash; a damaged one is extracted again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelflow.core.interfaces import Array, BadSample
from pixelflow.evaluation.sources import Source
from pixelflow.system.errors import DataError
from pixelflow.system.files import write_bytes
from pixelflow.system.sealed_arrays import npz_bytes, parsing, read_npz

logger = logging.getLogger(__name__)

SHARD = 512
"""Images whose features are written at a time."""

Extract = Callable[[Tensor], Tensor]
"""(b c h w) in [-1, 1] -> (b d)"""


@dataclass(frozen=True)
class Shard:
    """The features of some images."""

    features: NDArray[np.floating]
    """(n d), one row a readable image"""
    bad: list[BadSample]


class Features:
    """The features of a source's images, as often as they are asked for.

    Args:
        folder: keeps the shards; nothing else about extractor and images may have had this name.
        extract: called only for shards that are not there.
        progress: called with the number of images that are done, after each batch.
        spread: extracts the shards that begin at these images, in their order, where several processes do it.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        extract: Extract,
        progress: Callable[[int], None],
        spread: Callable[[Sequence[int]], Iterator[Shard | Exception]] | None = None,
    ) -> None:
        self._folder, self._source = folder, source
        self._extract, self._progress, self._spread = extract, progress, spread

    def rows(self) -> Array:
        """All features (n d), float64.

        Raises:
            DataError: more than the allowed number of images cannot be read, or all of them; or not finite features.
        """
        shards = [shard for shard in self if len(shard)]
        if not shards:
            raise DataError("there is no readable image to measure")
        return np.concatenate(shards)

    def moments(self) -> tuple[Array, Array]:
        """Mean (d) and unbiased covariance (d d), with one shard in memory at a time.

        Raises:
            DataError: as `rows`, and fewer than two images.
        """
        moments = RunningMoments()
        for shard in self:
            moments.add(shard)
        return moments.finish()

    def __iter__(self) -> Iterator[Array]:
        """One shard (n d) after the other, float64; n may be 0, and d with it."""
        if self._spread is not None:
            self._extract_together(self._spread)
        for start in range(0, self._source.elements, SHARD):
            shard = _read(self._file(start))
            if shard is None:
                shard = shard_of(self._source, start, self._extract, self._progress)
                _write(self._file(start), shard)
            self._progress(min(start + SHARD, self._source.elements))
            self._source.tally.add(shard.bad)
            yield shard.features.astype(np.float64)

    def _extract_together(self, spread: Callable[[Sequence[int]], Iterator[Shard | Exception]]) -> None:
        """Every shard that is not there; raises the first error when all processes have come to their end."""
        missing = [start for start in range(0, self._source.elements, SHARD) if _read(self._file(start)) is None]
        errors = []
        for start, shard in zip(missing, spread(missing) if missing else (), strict=True):
            if isinstance(shard, Exception):
                errors.append(shard)
            else:
                _write(self._file(start), shard)
                self._progress(min(start + SHARD, self._source.elements))
        if errors:
            raise errors[0]

    def _file(self, start: int) -> Path:
        return self._folder / f"{start:08d}.npz"


def shard_of(source: Source, start: int, extract: Extract, progress: Callable[[int], None]) -> Shard:
    """The features of the images from `start` on; raises DataError where they are not finite."""
    found: list[Tensor] = []
    bad: list[BadSample] = []
    done = start
    for part in source.parts(start, start + SHARD):
        bad += part.bad
        if part.readable:
            with torch.no_grad():
                found.append(extract(part.batch.images).cpu())
        done += len(part.readable) + len(part.bad)
        progress(done)
    features = torch.cat(found) if found else torch.empty(0, 0)
    if not features.isfinite().all():
        raise DataError("the extractor gives features that are not finite; see whether its weights are intact")
    return Shard(features.numpy(), bad)


class RunningMoments:
    """Mean and covariance of rows that come in parts."""

    def __init__(self) -> None:
        self._count = 0
        self._shift = self._sum = self._products = np.zeros(0)

    def add(self, rows: Array) -> None:
        """More rows (n d)."""
        if not len(rows):
            return
        if not self._count:  # sums about a value near the mean keep their digits
            width = rows.shape[1]
            self._shift, self._sum, self._products = rows.mean(0), np.zeros(width), np.zeros((width, width))
        centred = rows - self._shift
        self._count += len(rows)
        self._sum = self._sum + centred.sum(0)
        self._products = self._products + centred.T @ centred

    def finish(self) -> tuple[Array, Array]:
        """Mean (d) and unbiased covariance (d d); raises DataError for fewer than two rows."""
        if self._count < 2:
            raise DataError(f"a covariance needs 2 images, not {self._count}")
        mean = self._sum / self._count
        return self._shift + mean, (self._products - self._count * np.outer(mean, mean)) / (self._count - 1)


def _read(file: Path) -> Shard | None:
    """What a shard holds; None if it is not there, or damaged, which the log tells."""
    if not file.exists():
        return None
    try:
        arrays = read_npz(file, ("features", "bad"))
        with parsing(f"{file}: is no shard of features"):
            bad = [BadSample(str(where), str(reason)) for where, reason in arrays["bad"]]
            features = arrays["features"]
            if features.ndim != 2 or not np.isfinite(features).all():
                raise DataError(f"{file}: is no shard of features (n d)")
        return Shard(features, bad)
    except DataError as error:
        logger.warning("%s; extracted again", error)
        return None


def _write(file: Path, shard: Shard) -> None:
    bad = np.array([(sample.where, sample.reason) for sample in shard.bad], dtype=np.str_).reshape(-1, 2)
    write_bytes(file, npz_bytes({"features": shard.features, "bad": bad}))
