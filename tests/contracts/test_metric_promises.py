"""What every registered extractor and metric promises."""

from __future__ import annotations

import math

import pytest
import torch

from pixelflow.contracts.partners import Held
from pixelflow.core import plugins
from pixelflow.core.interfaces import ImageBatch
from pixelflow.core.registry import registry
from pixelflow.data.digits import Digits
from pixelflow.data.shapes.dataset import Shapes
from pixelflow.evaluation.sources import DatasetSource
from tests.tiny_settings import make_settings

plugins.load()
CPU = torch.device("cpu")
LARGE = ("inception_pytorch", "pytorch_fid")
"""Their network has one size only; tests/metrics/test_pytorch_fid.py tries them."""
EXTRACTORS = {name: entry for name, entry in registry.of_kind("extractor").items() if name not in LARGE}
METRICS = {name: entry for name, entry in registry.of_kind("metric").items() if name not in LARGE}


class Some(DatasetSource):
    """The first 128 images of the digits' even or odd half, for speed."""

    def __len__(self) -> int:
        return 128

    def __iter__(self):
        batches = super().__iter__()
        return iter([next(batches), next(batches)])


def digits(split: str) -> Some:
    return Some(Digits(Digits.Params(split=split), height=8, width=8, channels=1), bad_images=0)


class Few(DatasetSource):
    """Their first eight, for metrics that look at them in large."""

    def __iter__(self):
        first = next(super().__iter__())
        assert first.labels
        return iter([ImageBatch(first.images[:8], first.labels[:8], ["a digit"] * 8)])


def few(split: str) -> Few:
    return Few(Digits(Digits.Params(split=split), height=8, width=8, channels=1), bad_images=0)


def shapes(split: str) -> DatasetSource:
    return DatasetSource(Shapes(Shapes.Params(count=24), height=32, width=32, channels=3), bad_images=0)


IMAGES = {"shapes_judge": shapes, "clean_fid": few, "caption_retrieval": few}
"""Images for metrics that cannot measure digits, or would take long."""


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """Settings of components on pretrained networks, with small ones on disk."""
    return make_settings(tmp_path_factory.mktemp("networks"))


@pytest.fixture(params=EXTRACTORS)
def extractor(request, networks):
    settings = networks.get(f"extractor {request.param}", {})
    return EXTRACTORS[request.param].cls.Params(**settings).build(device=CPU)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (3, 20, 36)])
def test_features_are_one_finite_row_an_image_whatever_the_batch(extractor, shape):
    images = torch.rand(64, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    extractor.fit(images.split(20))
    features = extractor.features(images[:6])
    assert features.ndim == 2
    assert len(features) == 6
    assert features.isfinite().all()
    assert features.std(0).max() > 0
    assert torch.allclose(features[2:4], extractor.features(images[2:4]), rtol=1e-4, atol=1e-5)


def test_two_extractors_of_equal_settings_agree(extractor):
    images = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    other = extractor.params.build(device=CPU)
    for one in (extractor, other):
        one.fit([images])
    assert torch.equal(extractor.features(images), other.features(images))


@pytest.mark.parametrize("name", METRICS)
def test_figures_are_named_finite_and_repeatable(name, networks):
    metric = METRICS[name].cls.Params(**networks.get(f"metric {name}", {})).build(device=CPU)
    images = IMAGES.get(name, few if f"metric {name}" in networks else digits)
    figures = metric.compute(Held(images("odd"), images("even")))
    assert figures
    assert set(figures) <= set(metric.figures or figures)
    assert all(isinstance(key, str) and math.isfinite(value) for key, value in figures.items())
    assert all(metric.bounds[0] <= value <= metric.bounds[1] for value in figures.values())
    assert metric.compute(Held(images("odd"), images("even"))) == figures
    assert name in metric.title
