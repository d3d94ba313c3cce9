"""How far a figure would move with other images: the spread of the figure over random halves of them.

Half of each side is drawn without replacement and the figure is computed again, many times. A half of n images,
drawn from these n, varies as n images drawn from the world do (the delete-half jackknife; Shao and Wu, Annals of
Statistics 17, 1989). Unlike the ordinary bootstrap it repeats no image, which would be fatal to what counts
neighbours or pairs (precision and recall, KID). Fewer images shift most distances by the same amount every time, so
the interval is the figure itself plus the 2.5 % and 97.5 % quantiles of the halves' deviations from their mean, cut off
where the figure can go no farther (a share at 0 and 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pixelflow.core.interfaces import Array, Comparison, Extractor, ImageSource
from pixelflow.evaluation.comparison import FeatureComparison
from pixelflow.metrics.distances import moments

Figures = dict[str, float]

_QUANTILES = (0.025, 0.975)


class WatchedComparison:
    """A comparison that notes what a metric asks it for."""

    def __init__(self, images: FeatureComparison) -> None:
        self._images = images
        self.extractors: dict[str, Extractor.Params] = {}
        """Whose features were asked for."""
        self.read_images = False
        """Whether the images themselves were."""

    @property
    def generated(self) -> ImageSource:
        self.read_images = True
        return self._images.generated

    @property
    def reference(self) -> ImageSource:
        self.read_images = True
        return self._images.reference

    def features(self, extractor: Extractor.Params) -> tuple[Array, Array]:
        return self._images.features(self._noted(extractor))

    def generated_features(self, extractor: Extractor.Params) -> Array:
        return self._images.generated_features(self._noted(extractor))

    def reference_moments(self, extractor: Extractor.Params) -> tuple[Array, Array]:
        return self._images.reference_moments(self._noted(extractor))

    def _noted(self, extractor: Extractor.Params) -> Extractor.Params:
        self.extractors[extractor.model_dump_json()] = extractor
        return extractor


class KeptInMemory:
    """The features of both sides, read once."""

    def __init__(self, images: FeatureComparison) -> None:
        self.images = images
        self._generated: dict[str, Array] = {}
        self._real: dict[str, Array] = {}

    def generated(self, extractor: Extractor.Params) -> Array:
        key = extractor.model_dump_json()
        if key not in self._generated:
            self._generated[key] = self.images.generated_features(extractor)
        return self._generated[key]

    def real(self, extractor: Extractor.Params) -> Array:
        key = extractor.model_dump_json()
        if key not in self._real:
            self._real[key] = self.images.reference_features(extractor)
        return self._real[key]


class Half:
    """A comparison of a random half of the images of each side, in their order.

    A draw is the same for every extractor. Saved statistics stay as they are.
    """

    def __init__(self, kept: KeptInMemory, draw: int) -> None:
        self._kept, self._draw = kept, draw

    @property
    def generated(self) -> ImageSource:
        return self._kept.images.generated

    @property
    def reference(self) -> ImageSource:
        return self._kept.images.reference

    def features(self, extractor: Extractor.Params) -> tuple[Array, Array]:
        found, real = self.generated_features(extractor), self._kept.real(extractor)
        return found, self._drawn(real, 1) if len(real) else np.empty((0, found.shape[1]))

    def generated_features(self, extractor: Extractor.Params) -> Array:
        return self._drawn(self._kept.generated(extractor), 0)

    def reference_moments(self, extractor: Extractor.Params) -> tuple[Array, Array]:
        if self._kept.images.has_statistics(extractor):
            return self._kept.images.reference_moments(extractor)
        return moments(self._drawn(self._kept.real(extractor), 1))

    def _drawn(self, rows: Array, side: int) -> Array:
        chosen = np.random.default_rng([self._draw, side]).permutation(len(rows))[: -(-len(rows) // 2)]
        return rows[np.sort(chosen)]


def intervals(
    figures: Figures,
    compute: Callable[[Comparison], Figures],
    images: FeatureComparison,
    draws: int,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> dict[str, tuple[float, float]]:
    """95 % intervals (low, high) of figures that rest on features alone, within the bounds of all figures."""
    kept = KeptInMemory(images)
    redrawn = [compute(Half(kept, draw)) for draw in range(draws)]
    return {name: _around(figure, [again[name] for again in redrawn], bounds) for name, figure in figures.items()}


def _around(figure: float, redrawn: list[float], bounds: tuple[float, float]) -> tuple[float, float]:
    values = np.array(redrawn)
    steps = np.quantile(values - values.mean(), _QUANTILES)
    low, high = np.clip(figure + steps, *bounds)
    return float(low), float(high)
