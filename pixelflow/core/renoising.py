"""Renoising for any linear, separable upsampler, from its measured 1-D matrix.

Between stages ``x = alpha * U z + n'`` must carry white noise again. With ``g`` the largest singular value of
``U`` that needs ``cov(n')`` proportional to ``g^2 I - U U^T``. For ``U = Uh (x) Uw`` and ``Uh Uh^T = Q L Q^T``
the square root is diagonal in the product basis, so a sample costs two small matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from einops import einsum
from torch import Tensor

Apply = Callable[[Tensor], Tensor]

_PROBE = 4
_TOLERANCE = 1e-5


class NotLinearError(ValueError):
    """An operator does not act as one separable linear map on every channel."""


def check_operator(apply: Apply, factor: float, name: str) -> None:
    """Raise NotLinearError unless `apply` scales height and width by `factor`, linearly and per channel."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, 3, 8, 12, generator=generator, dtype=torch.float64) for _ in range(2))
    try:
        fx, fy, mixed = apply(x), apply(y), apply(2.0 * x - 3.0 * y)
    except Exception as error:
        raise NotLinearError(f"operator {name} fails on a (2 3 8 12) image: {type(error).__name__}: {error}") from error
    wanted = (2, 3, int(8 * factor), int(12 * factor))
    if tuple(fx.shape) != wanted:
        raise NotLinearError(f"operator {name} turns (2 3 8 12) into {tuple(fx.shape)}, not {wanted}")
    scale = fx.abs().max() + fy.abs().max()
    if not torch.allclose(mixed, 2.0 * fx - 3.0 * fy, atol=_TOLERANCE * float(scale), rtol=0):
        raise NotLinearError(f"operator {name} is not linear, so no renoising can be exact for it")
    single = apply(x[:1, 1:2])
    if not torch.allclose(single, fx[:1, 1:2], atol=_TOLERANCE * float(scale), rtol=0):
        raise NotLinearError(f"operator {name} mixes channels or images, so its renoising cannot be derived")


def axis_matrices(apply: Apply, length: int) -> tuple[Tensor, Tensor]:
    """Measure the 1-D matrices of a separable operator along rows and along columns.

    Returns:
        two float64 matrices (out length) whose Kronecker product is the operator.
    """
    centre = torch.zeros(1, 1, _PROBE, _PROBE, dtype=torch.float64)
    centre[..., _PROBE // 2, _PROBE // 2] = 1
    norm = apply(centre).norm().sqrt()
    impulses = torch.zeros(length, 1, length, _PROBE, dtype=torch.float64)
    impulses[torch.arange(length), 0, torch.arange(length), _PROBE // 2] = 1
    return _along_rows(apply(impulses)[:, 0], norm), _along_rows(apply(impulses.mT)[:, 0].mT, norm)


def _along_rows(responses: Tensor, norm: Tensor) -> Tensor:
    """Factor responses (i o q) = matrix[o, i] * profile[q], with the profile's norm given."""
    profile = responses[int(responses.flatten(1).norm(dim=1).argmax())]
    _, _, right = torch.linalg.svd(profile, full_matrices=False)
    matrix = einsum(responses, right[0], "i o q, q -> o i") / norm
    middle = matrix.shape[1] // 2
    given: Tensor = matrix if matrix[:, middle].sum() >= 0 else -matrix
    return given


def check_separable(apply: Apply, name: str) -> None:
    """Raise NotLinearError unless the operator equals the product of its measured 1-D matrices."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 1, 6, 10, generator=generator, dtype=torch.float64)
    rows, _ = axis_matrices(apply, 6)
    _, columns = axis_matrices(apply, 10)
    expected = rows @ x @ columns.mT
    got = apply(x)
    if not torch.allclose(got, expected, atol=_TOLERANCE * float(got.abs().max()), rtol=0):
        raise NotLinearError(
            f"operator {name} is not the product of one map along rows and one along columns; "
            "define its gain, noise_scale and shape_noise"
        )


def measured_gain(apply: Apply) -> float:
    """The largest singular value of the operator over all image sizes.

    Towards large sizes it approaches a limit, with an error of the order 1/n^2, which two sizes extrapolate;
    small ones are tried one by one, because a border may amplify more than the inside.
    """
    *small, half, full = [_axis_gains(apply, length) for length in (*range(1, 17), 64, 128)]
    limits = [
        max(*others, whole, whole + (whole - part) / 3) for *others, part, whole in zip(*small, half, full, strict=True)
    ]
    found: float = math.prod(limits)
    return found


def _axis_gains(apply: Apply, length: int) -> list[float]:
    """Largest singular value along rows and along columns."""
    return [float(torch.linalg.matrix_norm(matrix, 2)) for matrix in axis_matrices(apply, length)]


class SeparableNoise:
    """Samples of covariance ``g^2 I - U U^T`` (up to scale) for images of one size."""

    def __init__(self, apply: Apply, gain: float, height: int, width: int) -> None:
        rows, _ = axis_matrices(apply, height // 2)
        _, columns = axis_matrices(apply, width // 2)
        row_values, self._row_vectors = torch.linalg.eigh(rows @ rows.mT)
        column_values, self._column_vectors = torch.linalg.eigh(columns @ columns.mT)
        variances = (gain**2 - row_values[:, None] * column_values[None, :]).clamp_min(0)
        self.scale = float(variances.mean().sqrt())
        """Root of the mean variance over the image's pixels."""
        self._amplitudes = variances.sqrt() / max(self.scale, 1e-12)

    def __call__(self, white: Tensor) -> Tensor:
        """Turn white noise (b c h w) into noise of the wanted covariance, of unit mean variance."""
        to = {"device": white.device, "dtype": white.dtype}
        rows, columns, amplitudes = (
            value.to(**to) for value in (self._row_vectors, self._column_vectors, self._amplitudes)
        )
        given: Tensor = rows @ (amplitudes * white) @ columns.mT
        return given
