"""Intervals are as wide as figures really vary, and belong to figures of features alone."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from pixelflow.core.interfaces import Extractor, Sample
from pixelflow.evaluation.comparison import FeatureComparison
from pixelflow.evaluation.intervals import WatchedComparison, intervals
from pixelflow.evaluation.sources import DatasetSource
from pixelflow.metrics.distances import frechet, frechet_to

CPU = torch.device("cpu")


class Flat(Extractor):
    """The pixels."""

    class Params(Extractor.Params):
        type: Literal["test.flat"] = "test.flat"

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class Noise:
    """Gaussian images."""

    params = Flat.Params()
    classes = ()
    has_names = False

    def __init__(self, count: int, seed: int, mean: float) -> None:
        self.fingerprint = f"{count} {seed} {mean}"
        self.images = mean + torch.randn(count, 1, 2, 2, generator=torch.Generator().manual_seed(seed))

    def type_name(self) -> str:
        return "noise"

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, index: int, generator: torch.Generator) -> Sample:
        return Sample(self.images[index])


def compared(tmp_path, seed: int, mean: float = 0.5) -> FeatureComparison:
    sides = (DatasetSource(Noise(300, seed, mean), 0), DatasetSource(Noise(400, seed + 1, 0.0), 0))
    return FeatureComparison(*sides, device=CPU, folder=tmp_path / str(seed), cache=tmp_path / "cache")


def distance(images) -> dict[str, float]:
    return {"distance": frechet(*images.features(Flat.Params()))}


def test_they_are_as_wide_as_the_figure_varies(tmp_path):
    figures = [distance(compared(tmp_path, 10 * seed)) for seed in range(40)]
    spread = np.quantile([each["distance"] for each in figures], [0.025, 0.975])
    widths = []
    for seed in range(4):
        (low, high) = intervals(figures[seed], distance, compared(tmp_path, 10 * seed), 100)["distance"]
        assert low < figures[seed]["distance"] < high
        widths.append(high - low)
    assert np.mean(widths) == pytest.approx(spread[1] - spread[0], rel=0.35)


def test_they_can_be_had_again(tmp_path):
    images = compared(tmp_path, 0)
    assert intervals(distance(images), distance, images, 20) == intervals(distance(images), distance, images, 20)


def test_moments_are_drawn_anew_too(tmp_path):
    def to_moments(images) -> dict[str, float]:
        found, moments = images.generated_features(Flat.Params()), images.reference_moments(Flat.Params())
        return {"distance": frechet_to(found, *moments)}

    images = compared(tmp_path, 0)
    by_features = intervals(distance(images), distance, images, 30)["distance"]
    assert intervals(to_moments(images), to_moments, images, 30)["distance"] == pytest.approx(by_features, rel=1e-6)


def test_they_end_where_the_figure_can_go_no_farther(tmp_path):
    def measures(images) -> dict[str, float]:
        found, real = images.features(Flat.Params())
        between = float(((found.mean(0) - real.mean(0)) ** 2).sum())
        return {"distance": between, "likeness": 1 - between}

    images = compared(tmp_path, 0, mean=0.0)
    free = intervals(measures(images), measures, images, 60)
    assert free["distance"][0] < 0
    assert free["likeness"][1] > 1
    bounded = intervals(measures(images), measures, images, 60, (0.0, 1.0))
    assert bounded == {"distance": (0.0, free["distance"][1]), "likeness": (free["likeness"][0], 1.0)}


def test_what_a_metric_asks_for_is_noted(tmp_path):
    watched = WatchedComparison(compared(tmp_path, 0))
    distance(watched)
    assert not watched.read_images
    assert list(watched.extractors.values()) == [Flat.Params()]
    assert len(next(iter(watched.generated)).images)
    assert watched.read_images
