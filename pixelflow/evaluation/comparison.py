"""Generated images beside real ones, as metrics see them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pixelflow.core.interfaces import Array, Extractor
from pixelflow.core.plugin_use import codes
from pixelflow.core.version import __version__
from pixelflow.evaluation.features import Features, Shard, shard_of
from pixelflow.evaluation.sources import Source
from pixelflow.evaluation.statistics import Statistics
from pixelflow.system.files import write_text, writing
from pixelflow.system.parallel import Parallel

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)`` while features are extracted."""


def silent(what: str, done: int, total: int) -> None:
    """Shows no progress."""


class FeatureComparison:
    """Two sources, with features that are kept on disk under the content they are of (a `Comparison`).

    Args:
        folder: keeps the features of the generated images.
        cache: keeps those of the real images, for other comparisons as well.
        statistics: of the real images, where some are saved; they go before what can be had from the images.
        parallel: processes that extract features together. The first asks for them, the others `serve`.
    """

    def __init__(
        self,
        generated: Source,
        reference: Source,
        *,
        device: torch.device,
        folder: Path,
        cache: Path,
        statistics: Statistics | None = None,
        progress: Progress = silent,
        parallel: Parallel | None = None,
    ) -> None:
        self._parallel = parallel or Parallel(device)
        self.generated, self.reference = generated, reference
        self.device, self.progress = device, progress
        self._folder, self._cache = folder, cache
        self._statistics = statistics
        self._asked: dict[str, Extractor.Params] = {}
        self._extractors: dict[str, _Fitted] = {}

    def features(self, extractor: Extractor.Params) -> tuple[Array, Array]:
        """See `Comparison`."""
        found = self.generated_features(extractor)
        real = self.reference_features(extractor)
        return found, real if len(real) else np.empty((0, found.shape[1]))

    def generated_features(self, extractor: Extractor.Params) -> Array:
        """See `Comparison`."""
        return self._features("generated", self.generated, self._folder, extractor).rows()

    def reference_features(self, extractor: Extractor.Params) -> Array:
        """Of the real images alone (m d); (0 0) where only statistics of them are kept."""
        return self._real(extractor).rows() if self.reference.elements else np.empty((0, 0))

    def reference_moments(self, extractor: Extractor.Params) -> tuple[Array, Array]:
        """See `Comparison`."""
        saved = self._statistics
        if saved is not None and (self.has_statistics(extractor) or not self.reference.elements):
            return saved.moments(extractor, self.weights_sha256(extractor))
        return self._real(extractor).moments()

    def has_statistics(self, extractor: Extractor.Params) -> bool:
        """Whether the moments of the real images are saved ones."""
        saved = self._statistics
        return saved is not None and saved.holds(extractor, self.weights_sha256(extractor))

    @property
    def extractors(self) -> list[Extractor.Params]:
        """All that were asked for."""
        return list(self._asked.values())

    def weights_sha256(self, extractor: Extractor.Params) -> str | None:
        """The hash of the weights that the extractor has loaded."""
        return self._fitted(extractor).extractor.weights_sha256

    def _real(self, extractor: Extractor.Params) -> Features:
        return self._features("real", self.reference, self._cache, extractor)

    def _features(self, what: str, source: Source, below: Path, params: Extractor.Params) -> Features:
        fitted = self._fitted(params)
        recipe = {
            "images": source.identity,
            "fitted_on": self.reference.identity,
            "extractor": params.identity,
            "weights_sha256": fitted.extractor.weights_sha256,
            "pixelflow": __version__,
            **codes(params),
        }
        title = f"{params.component.type_name()} of {what} images"
        folder = _claimed(below, recipe)
        spread = None if self._parallel.size == 1 else partial(self._spread, what, params)
        return Features(folder, source, fitted, lambda done: self.progress(title, done, source.elements), spread)

    def _spread(self, what: str, params: Extractor.Params, starts: Sequence[int]) -> Iterator[Shard | Exception]:
        self._parallel.ask((what, params, starts))
        return self._extracted(what, params, starts)

    def serve(self, asked: tuple[str, Extractor.Params, Sequence[int]]) -> None:
        """Extract a share of the features for which the first process asks."""
        for _ in self._extracted(*asked):
            pass

    def _extracted(self, what: str, params: Extractor.Params, starts: Sequence[int]) -> Iterator[Shard | Exception]:
        """The shards that begin there, in the first process; what went wrong in place of one, so that all go on."""
        source, fitted = {"real": self.reference, "generated": self.generated}[what], self._fitted(params)

        def tried(start: int) -> Shard | Exception:
            try:
                return shard_of(source, start, fitted, lambda done: None)
            except Exception as error:
                return error

        return self._parallel.spread(starts, tried)

    def _fitted(self, params: Extractor.Params) -> _Fitted:
        key = params.model_dump_json()
        if key not in self._extractors:
            self._asked[key] = params
            self._extractors[key] = _Fitted(params.build(device=self.device), self.reference)
        return self._extractors[key]


class _Fitted:
    """An extractor that is fitted to the real images when it is first used, which may be never."""

    def __init__(self, extractor: Extractor, reference: Source) -> None:
        self.extractor = extractor
        self._reference = reference
        self._is_fitted = False

    def __call__(self, images: Tensor) -> Tensor:
        if not self._is_fitted:
            self.extractor.fit(self._real_images())
            self._is_fitted = True
        return self.extractor.features(images)

    def _real_images(self) -> Iterator[Tensor]:
        for batch in self._reference:
            yield batch.images


def _claimed(below: Path, recipe: Mapping[str, object]) -> Path:
    """The folder of a recipe, named after it."""
    text = json.dumps(recipe, sort_keys=True, indent=1)
    folder = below / hashlib.sha256(text.encode()).hexdigest()[:16]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "recipe.json").is_file():
        write_text(folder / "recipe.json", text)
    return folder
