"""Power-function averages of weights against their definition, and what snapshots of two of them give back."""

from __future__ import annotations

import numpy as np
import pytest

from pixelflow.core.training_settings import LONGEST_POWER_EMA
from pixelflow.runs.power_average import Profile, combination, decay


def followed(values: np.ndarray, length: float) -> np.ndarray:
    """The averages after each step of values, as training follows them."""
    average, found = values[0], []
    for step, value in enumerate(values):
        kept = decay(step, length)
        average = kept * average + (1 - kept) * value
        found.append(average)
    return np.array(found)


@pytest.mark.parametrize("length", [0.01, 0.05, 0.1, 0.2, LONGEST_POWER_EMA])
def test_the_length_is_the_profiles_deviation(length):
    gamma = Profile(1, length).gamma
    tau = (np.arange(1_000_000) + 0.5) / 1_000_000
    weight = (gamma + 1) * tau**gamma
    mean = (weight * tau).mean()
    assert weight.mean() == pytest.approx(1, rel=1e-4)
    assert np.sqrt((weight * (tau - mean) ** 2).mean()) == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("length", [0.05, 0.1, 0.25])
def test_what_is_followed_is_the_profile(length):
    """The average of a straight line is the profile's mean time, and the first weights are forgotten at once."""
    steps = 4000
    gamma = Profile(steps, length).gamma
    found = followed(np.arange(1, steps + 1, dtype=float), length)
    assert found[-1] == pytest.approx(steps * (gamma + 1) / (gamma + 2), rel=2e-3)
    assert decay(0, length) == 0


@pytest.mark.parametrize("wanted", [0.05, 0.06, 0.075, 0.1, 0.12])
def test_snapshots_of_two_averages_give_back_others(wanted):
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(size=4000)) + 0.01 * np.arange(4000)
    averages = {length: followed(values, length) for length in (0.05, 0.1)}
    kept = [Profile(time, length) for length in averages for time in range(250, 4001, 250)]
    shares, left = combination(kept, Profile(4000, wanted))
    found = shares @ [averages[one.length][one.time - 1] for one in kept]
    exact = followed(values, wanted)[-1]
    spread = values[2000:].std()
    assert left < 0.02
    assert shares.sum() == pytest.approx(1, abs=1e-3)
    assert abs(found - exact) < 0.01 * spread


def test_what_is_kept_is_given_back_exactly():
    kept = [Profile(time, length) for length in (0.05, 0.1) for time in (100, 200, 300)]
    shares, left = combination(kept, Profile(200, 0.1))
    assert left == pytest.approx(0, abs=1e-6)
    assert np.allclose(shares, [0, 0, 0, 0, 1, 0], atol=1e-6)


def test_out_of_reach_is_told():
    """A short average cannot come from long ones of long ago."""
    _, left = combination([Profile(100, 0.1), Profile(100, 0.05)], Profile(1000, 0.02))
    assert left > 0.9


def test_times_and_powers_far_apart_stay_finite():
    shares, left = combination([Profile(1, 0.01), Profile(10**7, 0.01)], Profile(10**7, 0.012))
    assert np.isfinite(shares).all()
    assert np.isfinite(left)
