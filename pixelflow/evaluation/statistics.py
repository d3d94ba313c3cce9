"""Saved statistics: mean and covariance of real images' features, so that these need not be had again.

Our own file, an npz, holds ``recipe`` (JSON: the version, the images, and of each extractor its settings, the hash of
its weights and the number of images) and ``mean_0``, ``covariance_0``, ``mean_1`` ... in the recipe's order. The ADM
evaluator's files hold ``mu``, ``sigma``, ``mu_s``, ``sigma_s`` (arXiv 2105.05233) beside images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pixelflow.core.interfaces import Array, Extractor, ImageBatch
from pixelflow.core.plugin_use import codes
from pixelflow.core.version import __version__
from pixelflow.data.bad_samples import Tally
from pixelflow.evaluation.sources import SourcePart
from pixelflow.system.errors import DataError, PixelflowError
from pixelflow.system.files import check_free, write_bytes
from pixelflow.system.records import Body
from pixelflow.system.sealed_arrays import npz_bytes, read_npz

_RECIPE, _IDENTITY = "recipe", "identity"
_LARGEST = 1 << 31
"""Bytes of an array: a covariance of 16,384 features."""
_ADM = "mu"


class Statistics(Protocol):
    """Mean and covariance of features, by extractor."""

    recipe: Body
    """What they are of, for the record."""

    def holds(self, extractor: Extractor.Params, weights_sha256: str | None) -> bool:
        """Whether there are such of this extractor with these weights."""

    def moments(self, extractor: Extractor.Params, weights_sha256: str | None) -> tuple[Array, Array]:
        """Mean (d) and covariance (d d).

        Raises:
            DataError: there are none of this extractor.
        """


@dataclass(frozen=True)
class FeatureMoments:
    """What a file of statistics says of one extractor."""

    extractor: Mapping[str, object]
    weights_sha256: str | None
    mean: Array
    covariance: Array

    def is_of(self, extractor: Extractor.Params, weights_sha256: str | None) -> bool:
        wanted = {**extractor.identity, **codes(extractor)}
        same = {key: self.extractor.get(key) for key in wanted} == wanted
        return same and self.weights_sha256 == weights_sha256


class SavedStatistics:
    """A file that `save` wrote.

    Raises:
        MissingInputError, DataError: it cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        arrays = _read(file)
        try:
            self.recipe = json.loads(str(arrays[_RECIPE]))
            self.entries = [
                FeatureMoments(
                    one["extractor"], one["weights_sha256"], arrays[f"mean_{place}"], arrays[f"covariance_{place}"]
                )
                for place, one in enumerate(self.recipe["extractors"])
            ]
        except (LookupError, ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{file}: is no file of statistics, or damaged ({error!r})") from None

    def holds(self, extractor: Extractor.Params, weights_sha256: str | None) -> bool:
        """See `Statistics`."""
        return any(entry.is_of(extractor, weights_sha256) for entry in self.entries)

    def moments(self, extractor: Extractor.Params, weights_sha256: str | None) -> tuple[Array, Array]:
        """See `Statistics`."""
        for entry in self.entries:
            if entry.is_of(extractor, weights_sha256):
                return entry.mean, entry.covariance
        names = ", ".join(str(entry.extractor.get("type")) for entry in self.entries)
        raise DataError(
            f"{self._file}: holds no statistics of the extractor {extractor.component.type_name()} with these settings "
            f"and weights (it has: {names}); give the images themselves, or make statistics with --save-statistics"
        )


class AdmStatistics:
    """The statistics in one of the ADM evaluator's reference files; parts of an extractor's features stand apart.

    Raises:
        MissingInputError, DataError: the file cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.recipe: Body = {"statistics": str(file), "layout": "ADM"}

    def holds(self, extractor: Extractor.Params, weights_sha256: str | None) -> bool:
        """See `Statistics`; the file does not say which weights it is from."""
        return bool(extractor.adm_keys)

    def moments(self, extractor: Extractor.Params, weights_sha256: str | None) -> tuple[Array, Array]:
        """See `Statistics`; what the file does not hold, the covariance between the parts, is 0."""
        from scipy.linalg import block_diag

        keys = extractor.adm_keys
        if not keys:
            name = extractor.component.type_name()
            raise DataError(f"{self._file}: holds statistics of the ADM evaluator's network alone, not of {name}")
        arrays = _read(self._file, [key for pair in keys for key in pair])
        means, covariances = zip(*((arrays[mean], arrays[covariance]) for mean, covariance in keys), strict=True)
        return np.concatenate(means).astype(np.float64), block_diag(*covariances).astype(np.float64)


@dataclass(frozen=True)
class NoImages:
    """Stands where real images would, if only statistics of them are kept."""

    file: Path
    elements: int = 0

    @property
    def tally(self) -> Tally:
        return Tally(0, "evaluation.bad_images")

    @property
    def identity(self) -> str:
        state = self.file.stat()
        return f"{self.file.name} {state.st_size} {state.st_mtime_ns}"

    @property
    def fingerprint(self) -> str:
        return self.identity

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[ImageBatch]:
        raise DataError(f"{self.file}: holds statistics and no images, which this needs; give the real images")

    def parts(self, start: int, stop: int) -> Iterator[SourcePart]:
        return iter(())


def check_replaceable(file: Path, identity: str) -> None:
    """Raise CannotWriteError if the file is there and holds anything but statistics of the images of this identity."""
    if not (file.is_file() and _earlier(file, identity)):
        check_free(file, "--save-statistics")


def _earlier(file: Path, identity: str) -> list[FeatureMoments]:
    """What a file holds of the images of this identity."""
    with suppress(PixelflowError):
        saved = SavedStatistics(file)
        return saved.entries if saved.recipe.get(_IDENTITY) == identity else []
    return []


def save(file: Path, entries: Sequence[FeatureMoments], told: Mapping[str, object], identity: str) -> None:
    """Write statistics; `told` says of which images. What the file holds of the same images, by others, is kept.

    Args:
        identity: tells the images from all others.

    Raises:
        CannotWriteError: the system refuses, or the file is there and holds anything else.
    """
    check_replaceable(file, identity)
    made = [(entry.extractor, entry.weights_sha256) for entry in entries]
    kept = [one for one in _earlier(file, identity) if (one.extractor, one.weights_sha256) not in made]
    entries = [*entries, *kept]
    own = [{"extractor": dict(entry.extractor), "weights_sha256": entry.weights_sha256} for entry in entries]
    recipe = {"pixelflow": __version__, **told, _IDENTITY: identity, "extractors": own}
    arrays: dict[str, np.ndarray] = {_RECIPE: np.array(json.dumps(recipe, ensure_ascii=False))}
    arrays |= {f"mean_{place}": entry.mean for place, entry in enumerate(entries)}
    arrays |= {f"covariance_{place}": entry.covariance for place, entry in enumerate(entries)}
    write_bytes(file, npz_bytes(arrays))


def in_file(file: Path, members: set[str]) -> Statistics | None:
    """The statistics in an npz with these members, if there are any."""
    if _RECIPE in members:
        return SavedStatistics(file)
    return AdmStatistics(file) if _ADM in members else None


def _read(file: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of an npz, by default all of them; none may hold objects."""
    try:
        return dict(read_npz(file, names, _LARGEST))
    except DataError as error:
        raise DataError(f"{error}; its statistics cannot be used") from None
