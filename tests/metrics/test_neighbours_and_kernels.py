"""Precision, recall, discrepancies and the Inception Score against brute force, known geometry and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelflow.metrics.inception_score import inception_score
from pixelflow.metrics.kernels import biased_mmd2, unbiased_mmd2
from pixelflow.metrics.precision_recall import precision_recall
from pixelflow.system import torchvision_compat


def points(count: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width))


def brute_force_share(inner: np.ndarray, outer: np.ndarray, neighbours: int) -> float:
    """The definition, one pair after the other."""
    inside = 0
    for point in inner:
        for other in outer:
            distances = sorted(np.linalg.norm(other - each) for each in outer)
            if np.linalg.norm(point - other) <= distances[neighbours]:
                inside += 1
                break
    return inside / len(inner)


@pytest.mark.parametrize("neighbours", [1, 3])
def test_precision_and_recall_are_the_definitions(neighbours):
    generated, real = points(15, 3, 0) + 1.2, points(18, 3, 1)
    found = precision_recall(torch.from_numpy(generated), torch.from_numpy(real), neighbours)
    expected = brute_force_share(generated, real, neighbours), brute_force_share(real, generated, neighbours)
    assert 0 < expected[0] < 1
    assert 0 < expected[1] < 1
    assert found == expected


def test_a_few_real_images_again_and_again_are_precise_and_recall_little():
    real = torch.from_numpy(points(2000, 2, 0))
    copies = real[:4].repeat_interleave(5, 0) + 1e-6 * torch.from_numpy(points(20, 2, 1))
    precision, recall = precision_recall(copies, real, 3)
    assert precision == 1
    assert recall < 0.01


def test_sets_far_apart_share_nothing_and_equal_sets_all():
    real = torch.from_numpy(points(700, 2, 0))  # more than are worked out at a time
    assert precision_recall(real + 100, real, 3) == (0, 0)
    assert precision_recall(real, real, 3) == (1, 1)


def test_the_cubic_discrepancy_is_the_double_sum_and_clean_fids():
    torchvision_compat.make_importable()
    from cleanfid.fid import kernel_distance

    one, other = points(12, 5, 0), points(12, 5, 1) + 0.3

    def kernel(x, y):
        return (x @ y / 5 + 1) ** 3

    pairs = [(i, j) for i in range(12) for j in range(12)]
    within = sum(kernel(side[i], side[j]) for side in (one, other) for i, j in pairs if i != j) / (12 * 11)
    expected = within - 2 * sum(kernel(one[i], other[j]) for i, j in pairs) / 144
    assert unbiased_mmd2(one, other) == pytest.approx(expected, rel=1e-12)
    assert unbiased_mmd2(one, other) == pytest.approx(kernel_distance(one, other, 3), rel=1e-10)


def test_the_gaussian_discrepancy_is_the_double_sum_whatever_the_rows():
    one, other = points(14, 4, 0), points(9, 4, 1) + 1

    def mean(first, second):
        return np.mean([[np.exp(-((x - y) @ (x - y)) / (2 * 1.5**2)) for y in second] for x in first])

    expected = mean(one, one) + mean(other, other) - 2 * mean(one, other)
    for rows in (4, 1000):
        assert biased_mmd2(one, other, 1.5, rows) == pytest.approx(expected, rel=1e-10)
    assert biased_mmd2(one, one, 1.5) == pytest.approx(0, abs=1e-12)


def test_the_inception_score_of_sure_and_varied_answers_is_their_number():
    sure = 1e3 * np.eye(8)[np.arange(800) % 8]
    assert inception_score(sure, 800) == pytest.approx(8)
    assert inception_score(np.zeros((10, 8)), 10) == pytest.approx(1)
    assert inception_score(1e3 * np.eye(8)[np.zeros(10, int)], 10) == pytest.approx(1)


def test_splits_of_the_inception_score_follow_the_order_and_weigh_alike():
    logits = np.concatenate([1e3 * np.eye(8)[np.arange(8)], np.zeros((4, 8))])
    assert inception_score(logits, 8) == pytest.approx((8 + 1) / 2)
