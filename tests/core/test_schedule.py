"""The cascade's times."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.core.schedule import TRAIN_TIMESTEPS, make_stages

counts = st.integers(1, 8)
gains = st.floats(1.0, 3.0)


def test_four_stages_of_the_paper() -> None:
    """The values of MATH section 1: gain 2, so s = p / (2 - p)."""
    stages = make_stages(4, 2.0)
    assert [stage.end for stage in stages] == [0.25, 0.5, 0.75, 1.0]
    assert [stage.start for stage in stages] == pytest.approx([0, 1 / 7, 1 / 3, 0.6])
    assert [stage.window[0] for stage in stages] == [0, 175, 426, 719]
    assert stages[-1].network_time(0.999) == pytest.approx(999)


def test_one_stage_is_plain_flow_matching() -> None:
    (stage,) = make_stages(1, 2.0)
    assert (stage.start, stage.end, stage.halvings) == (0, 1, 0)
    assert stage.is_last


@given(counts, gains)
def test_stages_follow_each_other_and_rewind(count: int, gain: float) -> None:
    stages = make_stages(count, gain)
    assert [stage.index for stage in stages] == list(range(count))
    assert (stages[0].start, stages[-1].end) == (0, 1)
    for before, after in itertools.pairwise(stages):
        assert before.end == after.previous_end
        assert after.start <= before.end < after.end
        assert before.window[1] == after.window[0]
        assert before.halvings == after.halvings + 1


@given(st.integers(2, 8), gains)
def test_entering_a_stage_keeps_mean_and_noise_level(count: int, gain: float) -> None:
    """``alpha`` scales the mean to s and the strongest noise direction to 1 - s (MATH section 2)."""
    for stage in make_stages(count, gain)[1:]:
        assert stage.alpha * stage.previous_end == pytest.approx(stage.start)
        assert stage.alpha * (1 - stage.previous_end) * gain == pytest.approx(1 - stage.start)


@given(counts, st.floats(0, 0.999))
def test_network_time_is_in_its_window_and_inverts(count: int, tau: float) -> None:
    for stage in make_stages(count, 2.0):
        time = stage.network_time(tau)
        assert stage.window[0] <= time <= TRAIN_TIMESTEPS - 1 + 1e-9
        assert stage.tau(time) == pytest.approx(tau, abs=1e-9)
        assert float(stage.network_time(torch.tensor(tau))) == pytest.approx(time, abs=1e-3)
