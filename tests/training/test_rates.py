"""The learning rate by step: warm-up, decay, phases; and that a run's past stays as it was."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.core.training_settings import PhaseSpec
from pixelflow.system.errors import SpecError, UsageError
from pixelflow.training.rates import LearningRates
from tests.conftest import make_spec
from tests.training.conftest import lines_of
from tests.training.test_resume import assert_same


def training(*overrides: str):
    return make_spec("training.learning_rate=1.0", *overrides).training


def test_warm_up_rises_linearly_to_the_rate():
    settings = training("training.warmup=4", "training.steps=10")
    assert [LearningRates(settings).at(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_cosine_falls_from_the_rate_to_nothing():
    settings = training("training.warmup=2", "training.steps=12", "training.lr_schedule=cosine")
    assert LearningRates(settings).at(2) == 1
    assert LearningRates(settings).at(7) == pytest.approx(0.5)
    assert LearningRates(settings).at(12) == pytest.approx(0)
    rates = [LearningRates(settings).at(step) for step in range(2, 12)]
    assert rates == sorted(rates, reverse=True)


def test_a_warm_up_longer_than_the_run_is_allowed():
    assert LearningRates(training("training.warmup=100", "training.lr_schedule=cosine")).at(3) == pytest.approx(0.04)


def test_phases_follow_each_other_and_leave_the_steps_before_alone():
    before = training("training.steps=10", "training.lr_schedule=cosine")
    phases = "training.phases=[{start: 10, warmup: 2, learning_rate: 0.5}, {start: 15, lr_schedule: cosine}]"
    settings = training("training.steps=20", "training.lr_schedule=cosine", phases)
    rates = [LearningRates(settings).at(step) for step in range(20)]
    assert rates[:10] == [LearningRates(before).at(step) for step in range(10)]
    assert rates[10] == pytest.approx((rates[9] + 0.5) / 2)
    assert rates[11:16] == [0.5] * 5
    assert rates[16:] == pytest.approx([0.5 * share for share in (0.9045, 0.6545, 0.3455, 0.0955)], abs=1e-4)


def test_a_phase_without_a_rate_holds_the_last_one():
    settings = training("training.steps=20", "training.lr_schedule=cosine", "training.phases=[{start: 10}]")
    assert {LearningRates(settings).at(step) for step in range(10, 20)} == {LearningRates(settings).at(9)}
    assert LearningRates(settings).at(9) > 0


def test_a_decay_may_end_before_or_after_the_steps():
    settings = training("training.steps=20", "training.lr_schedule=cosine", "training.decay_end=10")
    assert LearningRates(settings).at(5) == pytest.approx(0.5)
    assert LearningRates(settings).at(15) == 0


COURSE = {
    "warmup": st.integers(0, 12),
    "lr_schedule": st.sampled_from(["constant", "cosine"]),
    "decay_end": st.integers(1, 60),
    "learning_rate": st.floats(1e-5, 10),
}


@given(st.fixed_dictionaries(COURSE), st.dictionaries(st.integers(1, 39), st.fixed_dictionaries(COURSE), max_size=4))
def test_a_phase_changes_no_step_before_it_and_no_rate_is_beyond_what_was_asked(first, phases):
    """Where each course says itself when it has fallen to 0."""
    whole = make_spec().training.model_copy(update={"steps": 40, **first})
    courses = tuple(PhaseSpec(start=start, **phases[start]) for start in sorted(phases))
    rates = [LearningRates(whole.model_copy(update={"phases": courses})).at(step) for step in range(40)]
    for count, phase in enumerate(courses):
        before = whole.model_copy(update={"phases": courses[:count]})
        assert rates[: phase.start] == [LearningRates(before).at(step) for step in range(phase.start)]
        if phase.warmup:
            low, high = sorted((rates[phase.start - 1], phase.learning_rate))
            assert low * (1 - 1e-12) <= rates[phase.start] <= high * (1 + 1e-12)
    assert min(rates) >= 0
    assert max(rates) <= max(own.learning_rate for own in (whole, *courses)) * (1 + 1e-12)


def test_phases_out_of_order_are_refused():
    with pytest.raises(SpecError, match=r"training\.phases: start at 5, 5: each must start after the former"):
        training("training.phases=[{start: 5}, {start: 5}]")


COSINE = ("training.lr_schedule=cosine", "training.steps=4", "image.size=8")


@pytest.mark.parametrize("change", ["training.steps=8", "training.decay_end=6", "training.phases=[{start: 2}]"])
def test_a_course_that_would_be_another_is_refused_with_what_to_say(trained, change):
    run = trained("run", *COSINE)
    with pytest.raises(UsageError) as caught:
        trained("run", *COSINE, change)
    said = str(caught.value)
    assert f"{change.split('=')[0]} would change the course of the learning rate in steps that are done" in said
    assert "(step 4: 0.000146 then" in said
    assert "\n" not in said
    (advice,) = re.findall(r"'(training\.phases=.*?)'", said)
    trained("run", *COSINE, "training.steps=6", advice)
    assert lines_of(run)[4]["learning_rate"] == 0.001


def test_half_way_the_advice_keeps_the_course_so_far(trained):
    whole = trained("whole", *COSINE, "training.steps=8")
    run = trained("run", *COSINE, "training.decay_end=8")
    with pytest.raises(UsageError, match=r"training\.decay_end=8 'training\.phases"):
        trained("run", *COSINE, "training.steps=8", "training.decay_end=12")
    assert_same(whole, trained("run", *COSINE, "training.steps=8", "training.decay_end=8"))
    assert run.read_spec().training.decay_end == 8


PHASES = ("training.steps=6", "training.phases=[{start: 4, learning_rate: 5.0e-4, warmup: 3}]")


def test_the_advice_keeps_the_phases_before(trained):
    """Taken literally, it works."""
    run = trained(
        "run", *COSINE, "training.steps=6", "training.phases=[{start: 4, learning_rate: 5.0e-4, lr_schedule: cosine}]"
    )
    with pytest.raises(UsageError) as caught:
        trained("run", *COSINE, "training.steps=9", "training.phases=[{start: 3}]")
    (advice,) = re.findall(r"'(training\.phases=.*?)'", str(caught.value))
    trained("run", *COSINE, "training.steps=8", advice)
    assert [phase.start for phase in run.read_spec().training.phases] == [4, 6]
    assert lines_of(run)[6]["learning_rate"] == 0.001


def test_another_rate_from_here_on_is_recorded_and_followed_by_whoever_resumes(trained, capsys):
    whole = trained("whole", *COSINE, *PHASES)
    run = trained("run", *COSINE)
    assert "lr_schedule: cosine}]" in (trained("run", *COSINE), capsys.readouterr().err)[1]
    trained("run", *COSINE, "training.steps=5", PHASES[1])
    assert "learning rate: from step 4 on 0.0005 (constant)" in capsys.readouterr().err
    assert_same(whole, trained("run", *COSINE, *PHASES))
    first, second = (json.loads(line) for line in run.changes_file.read_text().splitlines())
    assert (first["step"], second["step"]) == (4, 5)
    assert first["changed"]["training.phases"]["before"] == []
    assert first["changed"]["training.phases"]["now"][0]["learning_rate"] == 5e-4
    assert second["changed"] == {"training.steps": {"before": 5, "now": 6}}


def test_a_damaged_checkpoint_leaves_the_course_alone(trained):
    """Training goes on from before the change, at the rates that it had there."""
    keep = "training.keep=3"
    whole = trained("whole", *COSINE, *PHASES, keep)
    trained("run", *COSINE, keep)
    run = trained("run", *COSINE, *PHASES, keep)
    for step in (4, 6):
        (run.checkpoints / f"step-{step:08d}" / "model.safetensors").write_bytes(b"")
    assert_same(whole, trained("run", *COSINE, *PHASES, keep))


def test_a_rate_that_is_changed_in_place_is_refused_with_the_phase(trained):
    trained("run", *COSINE)
    with pytest.raises(UsageError, match=r"run of another spec .*training\.phases=\[\{start: STEP"):
        trained("run", *COSINE, "training.learning_rate=1e-4")
