"""Checks of down- and upsamplers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor

from pixelflow.contracts.checking import Check, ContractError, expect, expect_close, expect_gradient, expect_like
from pixelflow.core import renoising
from pixelflow.core.interfaces import Downsampler, Upsampler

_SIZES = ((2, 2), (4, 4), (6, 10), (32, 16))


def _matrix(apply: Callable[[Tensor], Tensor], height: int, width: int) -> Tensor:
    """The operator on images of one channel as a float64 matrix (out in)."""
    basis = torch.eye(height * width, dtype=torch.float64).view(-1, 1, height, width)
    return rearrange(apply(basis), "i 1 h w -> (h w) i")


def _scales(operator: Downsampler | Upsampler, factor: float) -> None:
    for height, width in _SIZES:
        for dtype in (torch.float32, torch.float64):
            x = torch.randn(2, 3, height, width, dtype=dtype)
            wanted = (2, 3, int(height * factor), int(width * factor))
            expect_like(operator(x), wanted, dtype, f"the result for a {height} x {width} image")


def _is_linear(operator: Downsampler | Upsampler, factor: float) -> None:
    try:
        renoising.check_operator(operator, factor, operator.type_name())
    except renoising.NotLinearError as error:
        raise ContractError(str(error)) from None


def _passes_gradients(operator: Downsampler | Upsampler) -> None:
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    expect_gradient(operator(x), x, "the operator")


def halves(params: Downsampler.Params) -> None:
    """Height and width are halved, in the image's dtype."""
    _scales(params.build(), 0.5)


def doubles(params: Upsampler.Params) -> None:
    """Height and width are doubled, in the image's dtype."""
    _scales(params.build(), 2.0)


def down_is_linear(params: Downsampler.Params) -> None:
    """It is linear, and the same for every channel."""
    _is_linear(params.build(), 0.5)


def up_is_linear(params: Upsampler.Params) -> None:
    """It is linear, and the same for every channel."""
    _is_linear(params.build(), 2.0)


def passes_gradients(params: Downsampler.Params | Upsampler.Params) -> None:
    """Gradients pass."""
    _passes_gradients(params.build())


def states_its_brightness(params: Downsampler.Params) -> None:
    """A constant image is multiplied by ``brightness``."""
    operator: Downsampler = params.build()
    got = float(operator(torch.ones(1, 1, 64, 64, dtype=torch.float64))[0, 0, 16, 16])
    expect(abs(got - operator.brightness) < 1e-4, f"constant 1 becomes {got:.5f}; brightness is {operator.brightness}")


def states_its_gain(params: Upsampler.Params) -> None:
    """``gain`` is the largest singular value, over all sizes."""
    operator: Upsampler = params.build()
    measured = float(torch.linalg.matrix_norm(_matrix(operator, 16, 16), 2))
    expect(
        0.98 * operator.gain <= measured <= 1.0001 * operator.gain,
        f"at 16 x 16 the largest singular value is {measured:.5f}; gain is {operator.gain:.5f}",
    )


def whitens_the_noise(params: Upsampler.Params) -> None:
    """Upsampled noise and renoising together are white: ``U U^T + scale^2 N N^T = gain^2 I``."""
    operator: Upsampler = params.build()
    height, width = 6, 10
    up = _matrix(operator, height, width)
    shape = _matrix(operator.shape_noise, 2 * height, 2 * width)
    scale = operator.noise_scale(2 * height, 2 * width)
    total = up @ up.mT + scale**2 * shape @ shape.mT
    expect_close(total, operator.gain**2 * torch.eye(len(total), dtype=total.dtype), 1e-3, "the sum is not white")


DOWN_CHECKS: tuple[Check, ...] = (halves, down_is_linear, passes_gradients, states_its_brightness)
UP_CHECKS: tuple[Check, ...] = (doubles, up_is_linear, passes_gradients, states_its_gain, whitens_the_noise)
