"""The Frechet distance agrees with clean-fid's, with a closed form, and with itself by its two routes."""

from __future__ import annotations

import numpy as np
import pytest

from pixelflow.contracts.partners import Held
from pixelflow.data.digits import Digits
from pixelflow.evaluation.sources import DatasetSource
from pixelflow.metrics.distances import against_halves, frechet, frechet_of_moments, frechet_to, moments
from pixelflow.metrics.pixels_pca import PixelsPca
from pixelflow.metrics.random_conv import RandomConv
from pixelflow.system import torchvision_compat
from pixelflow.system.errors import DataError


def features(count: int, width: int, seed: int) -> np.ndarray:
    """Correlated features with a spectrum that decays, as those of networks do."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(width, width)) * np.geomspace(1, 0.05, width)
    return rng.normal(size=(count, width)) @ mixing + rng.normal(size=width) / 4


def digits(split: str) -> DatasetSource:
    return DatasetSource(Digits(Digits.Params(split=split), height=16, width=16, channels=1), bad_images=0)


@pytest.mark.parametrize(("first", "second", "width"), [(400, 900, 64), (300, 300, 8), (200, 70, 48)])
def test_agrees_with_clean_fid(first, second, width):
    torchvision_compat.make_importable()
    from cleanfid.fid import frechet_distance

    one, other = features(first, width, 0), features(second, width, 1)
    expected = frechet_distance(*moments(one), *moments(other))
    assert frechet(one, other) == pytest.approx(expected, rel=1e-6)
    assert frechet_of_moments(*moments(one), *moments(other)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("params", [RandomConv.Params(), PixelsPca.Params(components=40)], ids=lambda one: one.type)
@pytest.mark.parametrize("count", [400, 900])
def test_agrees_with_clean_fid_and_the_definition_on_real_features(params, count):
    torchvision_compat.make_importable()
    from cleanfid.fid import frechet_distance
    from scipy.linalg import sqrtm

    one, other = Held(digits("odd"), digits("even")).features(params)
    one = one[:count] + 0.01 * other[:count].std(0)
    (mean1, covariance1), (mean2, covariance2) = moments(one), moments(other)
    cross = sqrtm(covariance1 @ covariance2)
    defined = ((mean1 - mean2) ** 2).sum() + np.trace(covariance1 + covariance2 - 2 * cross.real)
    expected = frechet_distance(mean1, covariance1, mean2, covariance2)
    assert frechet(one, other) == pytest.approx(expected, rel=1e-6)
    assert frechet(one, other) == pytest.approx(defined, rel=1e-6)
    assert frechet_to(one, mean2, covariance2) == pytest.approx(defined, rel=1e-6)


@pytest.mark.parametrize(("first", "second"), [(20, 30), (20, 500), (500, 20), (500, 500)])
def test_both_routes_agree_with_few_images(first, second):
    one, other = features(first, 40, 0), features(second, 40, 1)
    assert frechet(one, other) == pytest.approx(frechet_of_moments(*moments(one), *moments(other)), rel=1e-5)


@pytest.mark.parametrize(("first", "second"), [(20, 30), (20, 500), (500, 500)])
def test_the_distance_to_moments_is_that_to_the_features_behind_them(first, second):
    one, other = features(first, 40, 0), features(second, 40, 1)
    assert frechet_to(one, *moments(other)) == pytest.approx(frechet(one, other), rel=1e-6)


def test_commuting_gaussians_have_a_closed_form():
    deviations, others = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.0, 0.5])
    found = frechet_of_moments(np.zeros(3), np.diag(deviations**2), np.ones(3), np.diag(others**2))
    assert found == pytest.approx(3 + ((deviations - others) ** 2).sum(), rel=1e-12)


def test_equal_sets_are_at_no_distance():
    for count in (10, 300):
        one = features(count, 32, 0)
        assert frechet(one, one) == pytest.approx(0, abs=1e-9 * np.trace(moments(one)[1]))


def test_few_images_in_many_features_take_milliseconds():
    one, other = features(50, 16, 0) @ np.ones((16, 3000)), np.random.default_rng(0).normal(size=(60, 3000))
    assert np.isfinite(frechet(one, other))


def test_too_few_images_are_refused():
    with pytest.raises(DataError, match="needs 2 images"):
        frechet(features(1, 4, 0), features(9, 4, 0))
    with pytest.raises(DataError, match="need 4 images"):
        against_halves(features(9, 4, 0), features(3, 4, 0))
    with pytest.raises(DataError, match="are the same"):
        against_halves(features(9, 4, 0), np.ones((8, 4)))


def test_the_halves_do_not_depend_on_what_the_order_means():
    """Frames of two cameras by turns: every other image is half of the places, and not half of the data."""
    real = features(4000, 4, 0)
    real[1::2] += 10
    found = against_halves(features(30, 4, 1), real)
    assert found["distance_between_real_halves"] < 1 < 100 < frechet(real[0::2], real[1::2])
    assert found["ratio"] == found["distance"] / found["distance_between_real_halves"]
    assert found == against_halves(features(30, 4, 1), real)
