"""Parts of a set of images: balanced, whole, and without regard to the order."""

from __future__ import annotations

import numpy as np
import pytest

from pixelflow.metrics.splits import halves, held_out, some, some_of_each

RARE = np.array([0] * 900 + [1] * 90 + [2] * 3)


def counts(labels: np.ndarray) -> list[int]:
    return np.bincount(labels, minlength=3).tolist()


@pytest.mark.parametrize("labels", [None, RARE, RARE[::-1]])
def test_halves_are_disjoint_whole_and_the_same_again(labels):
    one, other = halves(len(RARE), labels)
    assert sorted([*one, *other]) == list(range(len(RARE)))
    assert abs(len(one) - len(other)) <= 1
    again, _ = halves(len(RARE), labels)
    assert np.array_equal(one, again)


def test_halves_have_equally_many_of_each_label():
    one, other = halves(len(RARE), RARE)
    assert all(abs(here - there) <= 1 for here, there in zip(counts(RARE[one]), counts(RARE[other]), strict=True))


def test_halves_do_not_follow_a_period():
    places = np.arange(10_000)
    for period in (2, 3, 6, 10):
        shares = np.bincount(places[halves(10_000)[0]] % period, minlength=period) * period / 5_000
        assert (abs(shares - 1) < 0.12).all()


def test_a_share_of_each_label_is_held_out():
    kept_aside = held_out(RARE, 10, seed=3)
    assert kept_aside.sum() == len(RARE) // 10
    assert all(abs(found - wanted) <= 1 for found, wanted in zip(counts(RARE[kept_aside]), (90, 9, 0.3), strict=True))


@pytest.mark.parametrize("most", [3, 10, 100, 5000])
def test_some_of_each_label_has_every_one_and_their_proportion(most):
    chosen = some_of_each(RARE, most)
    assert len(set(chosen.tolist())) == min(most, len(RARE))
    found = counts(RARE[chosen])
    assert min(found) >= 1
    shares = np.array(counts(RARE)) * len(chosen) / len(RARE)
    assert (abs(np.array(found) - shares) <= 2).all()


def test_some_are_not_the_first_ones():
    chosen = some(1000, 100, seed=5)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert 400 < chosen.mean() < 600
    assert some(7, 100).tolist() == list(range(7))
