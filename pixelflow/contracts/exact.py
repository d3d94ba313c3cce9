"""Checks that images have the law of the data, by the Gaussian oracle of `pixelflow.core.exactness`."""

from __future__ import annotations

from pixelflow.contracts.checking import ContractError, expect
from pixelflow.contracts.partners import built_in
from pixelflow.core.exactness import EXACT, GaussianCascade, NotExactError, cascade_error, check_exact
from pixelflow.core.interfaces import Downsampler, Sampler, Upsampler

_STEPS = 16


def down_is_exact(params: Downsampler.Params) -> None:
    """A perfect network generates the law of the data with it, at 2 and 3 stages."""
    _expect_exact(params.build(), built_in("upsampler", "nearest"))


def up_is_exact(params: Upsampler.Params) -> None:
    """A perfect network generates the law of the data with it, at 2 and 3 stages."""
    _expect_exact(built_in("downsampler", "bilinear"), params.build())


def _expect_exact(down: Downsampler, up: Upsampler) -> None:
    sampler, grid = built_in("sampler", "rk4"), built_in("grid", "uniform")
    for stages in (2, 3):
        error = cascade_error(down, up, sampler, grid, stages, _STEPS)
        expect(error < EXACT, f"with {stages} stages the covariance of the images is off by {error:.1e}")


def converges(params: Sampler.Params) -> None:
    """A perfect network's images approach the law of the data at the stated order."""
    cascade = GaussianCascade(built_in("downsampler", "bilinear"), built_in("upsampler", "nearest"), 2, (8, 8))
    try:
        check_exact(cascade, params.build(), built_in("grid", "uniform"))
    except NotExactError as error:
        raise ContractError(str(error)) from None
