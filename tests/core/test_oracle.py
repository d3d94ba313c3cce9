"""The exactness oracle accepts what is exact and finds what is not."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from pixelflow.core import plugins
from pixelflow.core.exactness import GaussianCascade, NotExactError, cascade_error, check_exact
from pixelflow.core.interfaces import Downsampler, Upsampler
from pixelflow.core.registry import registry
from pixelflow.core.renoising import NotLinearError

plugins.load()


def built(kind: str, name: str):
    return registry.of_kind(kind)[name].cls.Params().build()


class SplineUp(Upsampler):
    """A plugin's operator that gives nothing but itself: a (1 3 3 1) / 4 kernel on a periodic image."""

    class Params(Upsampler.Params):
        type: Literal["test.spline"] = "test.spline"

    def __call__(self, x: Tensor) -> Tensor:
        for axis in (-2, -1):
            before, after = (3 * x + x.roll(shift, axis) for shift in (1, -1))
            x = torch.stack([before, after], axis).flatten(axis - 1, axis) / 4 if axis == -1 else _rows(before, after)
        return x


def _rows(before: Tensor, after: Tensor) -> Tensor:
    return torch.stack([before, after], -2).flatten(-3, -2) / 4


class ReliefUp(SplineUp):
    class Params(Upsampler.Params):
        type: Literal["test.relief"] = "test.relief"

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x).relu()


class LoudUp(SplineUp):
    """States a gain that it does not have, and noise to match it, but of the wrong colour."""

    class Params(Upsampler.Params):
        type: Literal["test.loud"] = "test.loud"

    def shape_noise(self, white: Tensor) -> Tensor:
        return white


class EdgeDown(Downsampler):
    class Params(Downsampler.Params):
        type: Literal["test.edge"] = "test.edge"

    def __call__(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2].abs()


def check(down, up, sampler="rk4", stages=3, size=(4, 8)):
    return check_exact(GaussianCascade(down, up, stages, size), built("sampler", sampler), built("grid", "uniform"))


def test_an_operator_that_gives_only_itself_is_exact():
    assert check(built("downsampler", "bilinear"), SplineUp.Params().build()) < 1e-4
    assert check(built("downsampler", "bilinear"), SplineUp.Params().build(), "sde_euler", 2) < 1e-3


def test_a_nonlinear_operator_is_refused():
    with pytest.raises(NotLinearError, match=r"test\.relief is not linear"):
        check(built("downsampler", "bilinear"), ReliefUp.Params().build())
    with pytest.raises(NotLinearError, match=r"test\.edge is not linear"):
        check(EdgeDown.Params().build(), built("upsampler", "nearest"))


def test_wrong_noise_is_found():
    with pytest.raises(NotExactError, match=r"test\.loud up, rk4, 3 stages: the covariance tends to an error of 0"):
        check(built("downsampler", "bilinear"), LoudUp.Params().build())


def test_a_wrong_order_is_found():
    class Boasting(registry.of_kind("sampler")["euler"].cls):
        class Params(registry.of_kind("sampler")["euler"].cls.Params):
            type: Literal["test.boasting"] = "test.boasting"

        order = 2

    cascade = GaussianCascade(built("downsampler", "bilinear"), built("upsampler", "nearest"), 2, (4, 4))
    with pytest.raises(NotExactError):
        check_exact(cascade, Boasting.Params().build(), built("grid", "uniform"))


@pytest.mark.parametrize("slip", [0.99, 1.01])
def test_a_percent_of_renoising_is_found(slip, monkeypatch):
    up = built("upsampler", "nearest")
    monkeypatch.setattr(up, "noise_scale", lambda height, width: slip * 3**0.5)
    with pytest.raises(NotExactError):
        check(built("downsampler", "bilinear"), up)


def test_cascade_error_falls():
    parts = [built(*part) for part in (("downsampler", "haar"), ("upsampler", "haar"), ("sampler", "heun"))]
    few, many = (cascade_error(*parts, built("grid", "uniform"), 2, steps, (4, 4)) for steps in (8, 16))
    assert many < few / 3.4
