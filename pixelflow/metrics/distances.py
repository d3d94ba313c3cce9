"""The Frechet distance between two sets of features, in float64.

``d^2 = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^1/2`` (Heusel et al., arXiv 1706.08500), and
``tr (S1 S2)^1/2`` is the nuclear norm of ``S1^1/2 S2^1/2``. As published it is the squared distance.
"""

from __future__ import annotations

import numpy as np

from pixelflow.core.interfaces import Array
from pixelflow.metrics.splits import halves
from pixelflow.system.errors import DataError

HALVES = ("distance", "distance_between_real_halves", "ratio")
"""What `against_halves` gives."""


def frechet(first: Array, second: Array) -> float:
    """Distance between features (n d) and (m d).

    Raises:
        DataError: fewer than two images on a side.
    """
    if min(len(first), len(second)) < 2:
        raise DataError(f"a Frechet distance needs 2 images on each side, not {len(first)} and {len(second)}")
    if min(len(first), len(second)) < first.shape[1]:
        return _from_few(first, second)
    return frechet_of_moments(*moments(first), *moments(second))


def moments(features: Array) -> tuple[Array, Array]:
    """Mean (d) and unbiased covariance (d d) of features (n d)."""
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_of_moments(mean1: Array, covariance1: Array, mean2: Array, covariance2: Array) -> float:
    """Distance between two Gaussians, by the eigenvalues of ``S1^1/2 S2 S1^1/2``, which is symmetric."""
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ covariance2 @ root).clip(0)).sum()
    return _combine(mean1 - mean2, float(np.trace(covariance1) + np.trace(covariance2)), float(overlap))


def frechet_to(features: Array, mean: Array, covariance: Array) -> float:
    """Distance of features (n d) from a Gaussian, quick and exact for few features as well.

    With centred features A the overlap is the sum of the roots of the eigenvalues of ``A S A^T``, which is small.

    Raises:
        DataError: fewer than two images.
    """
    check_enough(len(features), 2, "a Frechet distance")
    if len(features) >= features.shape[1]:
        return frechet_of_moments(*moments(features), mean, covariance)
    centred = _square_root(features)
    overlap = np.sqrt(np.linalg.eigvalsh(centred @ covariance @ centred.T).clip(0)).sum()
    traces = float((centred**2).sum() + np.trace(covariance))
    return _combine(features.mean(0) - mean, traces, float(overlap))


def _from_few(first: Array, second: Array) -> float:
    """The same without any covariance, exact also where that would be singular.

    With centred features A and B the overlap is the nuclear norm of ``A B^T``, whatever the number of columns;
    a side with more images than features is first replaced by the triangular factor of its QR decomposition.
    """
    centred1, centred2 = (_square_root(features) for features in (first, second))
    overlap = np.linalg.svd(centred1 @ centred2.T, compute_uv=False).sum()
    traces = float((centred1**2).sum() + (centred2**2).sum())
    return _combine(first.mean(0) - second.mean(0), traces, float(overlap))


def _square_root(features: Array) -> Array:
    """A with ``A^T A`` the covariance of features (n d), of at most d rows."""
    centred = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(centred) > centred.shape[1] else centred


def _combine(difference: Array, traces: float, overlap: float) -> float:
    return max(float(difference @ difference) + traces - 2 * overlap, 0.0)


def against_halves(generated: Array, reference: Array) -> dict[str, float]:
    """The Frechet distance, and what to read it against: the same between two random halves of the real images.

    The halves are drawn by a fixed seed, so that equal images have equal figures, whatever their order means.

    Raises:
        DataError: fewer than four real images, or all alike.
    """
    if len(reference) < 4:
        raise DataError(f"two halves of the real data need 4 images, not {len(reference)}")
    one, other = halves(len(reference))
    whole, floor = frechet(generated, reference), frechet(reference[one], reference[other])
    if floor <= 0:
        raise DataError("the two halves of the real data are the same; use real images that differ")
    return dict(zip(HALVES, (whole, floor, whole / floor), strict=True))


def check_enough(count: int, least: int, what: str) -> None:
    """Raise DataError unless there are at least so many images; `what` names whose they are and what for."""
    if count < least:
        raise DataError(f"{what} needs {least} images, not {count}")
