"""Guidance on known velocities, and through the real generation: values, evaluations, states kept within a stage."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pixelflow.core import plugins
from pixelflow.core.cascade import Cascade
from pixelflow.core.registry import registry
from pixelflow.core.sampling import Conditions, SamplingPlan, SeededNoise, StageBranches, generate
from pixelflow.guidance.apg import limited, projected
from pixelflow.guidance.cfg_zero_star import best_scale
from pixelflow.system.errors import UsageError
from tests.conftest import lively_model, make_spec

plugins.load()


def built(kind: str, name: str, **settings):
    return registry.of_kind(kind)[name].cls.Params(**settings).build()


CASCADE = Cascade(3, built("downsampler", "bilinear"), built("upsampler", "nearest"))


class KnownBranches:
    """Velocities that are fixed images, and a count of what was asked."""

    def __init__(self, stage, conditional: Tensor, null: Tensor, weak: Tensor) -> None:
        self.stage, self.spent = stage, 0
        self._velocities = conditional, null, weak

    def conditional(self, x: Tensor, tau: float) -> Tensor:
        self.spent += 1
        return self._velocities[0]

    def unconditional(self, x: Tensor, tau: float) -> Tensor:
        self.spent += 1
        return self._velocities[1]

    def both(self, x: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        return self.unconditional(x, tau), self.conditional(x, tau)

    def weak(self, x: Tensor, tau: float) -> Tensor:
        self.spent += 1
        return self._velocities[2]

    def clean_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        return CASCADE.clean_estimate(x, velocity, tau, self.stage)

    def velocity_from_clean(self, x: Tensor, clean: Tensor, tau: float) -> Tensor:
        return CASCADE.velocity_from_clean(x, clean, tau, self.stage)


@pytest.fixture
def images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(torch.randn(4, 2, 1, 8, 8, generator=generator, dtype=torch.float64))


def branches_of(images, stage: int = 1) -> KnownBranches:
    return KnownBranches(CASCADE.stages[stage], *images[1:])


SCALED = ["constant", "apg", "cfg_zero_star", "autoguidance"]


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_weight_1_is_the_conditional_velocity_at_one_evaluation(name, stage, images):
    branches, guidance = branches_of(images, stage), built("guidance", name, scale=1)
    for count, tau in enumerate((0.0, 0.5, 0.99), 1):
        assert torch.equal(guidance.guide(branches)(images[0], tau), images[1])
        assert branches.spent == count
        assert guidance.nfe(branches.stage, tau) == 1


@pytest.mark.parametrize("name", SCALED)
def test_other_weights_cost_two(name, images):
    branches, guidance = branches_of(images, 2), built("guidance", name, scale=3.0)
    guidance.guide(branches)(images[0], 0.5)
    assert branches.spent == guidance.nfe(branches.stage, 0.5) == 2


def test_autoguidance_leads_away_from_the_weak_model(images):
    x, conditional, _, weak = images
    got = built("guidance", "autoguidance", scale=2.0).guide(branches_of(images))(x, 0.3)
    assert torch.allclose(got, weak + 2 * (conditional - weak))


def test_plain_apg_is_classifier_free_guidance(images):
    """With eta 1, no momentum and no threshold, as the paper says; the map to clean images is linear."""
    x, conditional, null, _ = images
    for stage in range(3):
        apg = built("guidance", "apg", scale=3.0, eta=1.0, momentum=0.0)
        got = apg.guide(branches_of(images, stage))(x, 0.4)
        assert torch.allclose(got, null + 3 * (conditional - null), atol=1e-5)


def test_apg_moves_the_clean_image_across_itself(images):
    x, conditional, *_ = images
    branches = branches_of(images, 2)
    got = built("guidance", "apg", scale=3.0).guide(branches)(x, 0.4)
    clean = branches.clean_estimate(x, conditional, 0.4)
    change = branches.clean_estimate(x, got, 0.4) - clean
    assert (change * clean).sum((1, 2, 3)).abs().max() < 1e-9
    assert change.abs().max() > 0.1


def test_apg_remembers_within_a_stage_only(images):
    guidance = built("guidance", "apg", scale=3.0, momentum=0.5)
    velocity = guidance.guide(branches_of(images))
    first, second = velocity(images[0], 0.4), velocity(images[0], 0.4)
    assert not torch.allclose(first, second)
    assert torch.equal(first, guidance.guide(branches_of(images))(images[0], 0.4))


def test_apg_limits_large_updates_only():
    small, large = torch.full((1, 1, 2, 2), 0.1), torch.full((1, 1, 2, 2), 5.0)
    assert torch.allclose(limited(torch.cat([small, large]), 0.5), torch.cat([small, large / 10]))


def test_projection_and_fit_are_per_image():
    a, b = torch.randn(2, 5, 3, 4, 4, dtype=torch.float64)
    rest = a - projected(a, b)
    assert (rest * b).sum((1, 2, 3)).abs().max() < 1e-12
    assert torch.allclose(best_scale(a, b) * b, projected(a, b))


def test_cfg_zero_star_rests_then_fits_the_null_velocity(images):
    x, conditional, null, _ = images
    guidance = built("guidance", "cfg_zero_star", scale=2.0, rest=0.1)
    branches = branches_of(images, 0)
    velocity = guidance.guide(branches)
    early, late = (branches.stage.tau(1000 * time) for time in (0.05, 0.15))
    assert not velocity(x, early).any()
    assert branches.spent == guidance.nfe(branches.stage, early) == 0
    fitted = best_scale(conditional, null) * null
    assert torch.allclose(velocity(x, late), fitted + 2 * (conditional - fitted))


def test_interval_guides_inside_only(images):
    x, conditional, null, _ = images
    stage = CASCADE.stages[1]
    low, high = (stage.network_time(tau) / 1000 for tau in (0.3, 0.6))
    guidance = built("guidance", "interval", low=low, high=high, guidance={"type": "constant", "scale": 2.0})
    for tau, inside in ((0.0, False), (0.29, False), (0.31, True), (0.59, True), (0.61, False), (1.0, False)):
        branches = branches_of(images, 1)
        got = guidance.guide(branches)(x, tau)
        assert torch.allclose(got, null + 2 * (conditional - null) if inside else conditional)
        assert branches.spent == guidance.nfe(stage, tau) == 1 + inside


def test_interval_passes_checks_on_and_nests():
    with pytest.raises(Exception, match=r"sampling\.guidance\.guidance\.shares: has 3 entries for 2 stages"):
        make_spec("sampling.guidance={type: interval, guidance: {type: stagewise, shares: [0, 1, 1]}}")
    with pytest.raises(Exception, match=r"low 0\.9 must lie below high 0\.5"):
        make_spec("sampling.guidance={type: interval, low: 0.9, high: 0.5}")
    nested = make_spec("sampling.guidance={type: interval, guidance: {type: interval, guidance: apg}}")
    assert nested.sampling.guidance.guidance.guidance.type == "apg"


@pytest.mark.parametrize("name", [name for name in registry.of_kind("guidance") if name != "autoguidance"])
def test_plan_counts_what_generation_spends(name):
    spec = make_spec(f"sampling.guidance={name}")
    model, guidance = lively_model(spec), built("guidance", name)
    plan = SamplingPlan(built("sampler", "euler"), built("grid", "uniform"), guidance, [4, 4])
    condition = model.condition(model.prepare({"label": [1, 2]}))
    noise = SeededNoise([0, 1], torch.device("cpu"))
    _, spent = generate(model, plan, condition, model.condition(model.null(2)), noise, (1, 16, 16))
    counted = [guidance.nfe_over(stage, [i / 4 for i in range(4)]) for stage in model.cascade.stages]
    assert spent.by_stage == counted


def test_autoguidance_needs_and_uses_a_weak_model():
    spec = make_spec()
    model, weak = lively_model(spec, 0), lively_model(spec, 1)
    condition = model.condition(model.prepare({"label": [1]}))
    null, stage = model.condition(model.null(1)), model.cascade.stages[0]
    velocity = built("guidance", "autoguidance", scale=2.0).guide
    x = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        with pytest.raises(UsageError, match="weaker run"):
            velocity(StageBranches(model.cascade, stage, Conditions(model, condition, null)))(x, 0.5)
        weak_condition = weak.condition(weak.prepare({"label": [1]}))
        own, other = Conditions(model, condition, null), Conditions(weak, weak_condition)
        branches = StageBranches(model.cascade, stage, own, other)
        got = velocity(branches)(x, 0.5)
        assert branches.spent == 2
        wanted = 2 * branches.conditional(x, 0.5) - branches.weak(x, 0.5)
    assert torch.allclose(got, wanted, atol=1e-5)


def test_a_kept_difference_halves_the_cost_between_and_changes_little(images):
    stage = CASCADE.stages[-1]
    conditional, null, weak, x = images
    for every, spent in ((1, 8), (2, 6), (3, 6), (4, 5)):
        branches = KnownBranches(stage, conditional, null, weak)
        guidance = built("guidance", "reused", every=every, guidance={"type": "constant", "scale": 3.0})
        velocity = guidance.guide(branches)
        times = [0.0, 0.25, 0.5, 0.75]
        for tau in times:
            torch.testing.assert_close(velocity(x, tau), null + 3 * (conditional - null))
        assert branches.spent == guidance.nfe_over(stage, times) == spent


def test_a_difference_is_kept_for_velocities_that_moved_on(images):
    """The conditional velocity is always that of the state; only how far both lie apart is older."""
    stage = CASCADE.stages[-1]
    conditional, null, weak, x = images
    branches = KnownBranches(stage, conditional, null, weak)
    velocity = built("guidance", "reused", every=2, guidance={"type": "constant", "scale": 3.0}).guide(branches)
    velocity(x, 0.0)
    branches._velocities = conditional + 1, null * 0, weak
    torch.testing.assert_close(velocity(x, 0.5), conditional + 1 + 2 * (conditional - null))
    torch.testing.assert_close(velocity(x, 0.9), 3 * (conditional + 1))


def test_an_extrapolated_difference_goes_on_along_its_line(images):
    """Both are evaluated at 0 and 0.4; a difference that moves evenly in time is then met at 0.6."""
    conditional, null, weak, x = images
    branches = KnownBranches(CASCADE.stages[-1], conditional, null, weak)
    settings = {"every": 2, "extrapolated": True, "guidance": {"type": "constant", "scale": 3.0}}
    velocity = built("guidance", "reused", **settings).guide(branches)
    for tau in (0.0, 0.2, 0.4):
        branches._velocities = conditional, (1 - tau) * null, weak
        velocity(x, tau)
    wanted = conditional + 2 * (conditional - (1 - 0.6) * null)
    torch.testing.assert_close(velocity(x, 0.6), wanted)
    assert branches.spent == 6


def test_each_stage_may_keep_its_differences_for_as_long_as_it_is_given(images):
    conditional, null, weak, x = images
    guidance = built("guidance", "reused", every=(1, 2, 3))
    times = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9]
    for stage, spent in zip(CASCADE.stages, (12, 9, 8), strict=True):
        branches = KnownBranches(stage, conditional, null, weak)
        velocity = guidance.guide(branches)
        for tau in times:
            velocity(x, tau)
        assert branches.spent == guidance.nfe_over(stage, times) == spent
    with pytest.raises(Exception, match=r"sampling\.guidance\.every: has 3 entries for 2 stages"):
        make_spec("sampling.guidance={type: reused, every: [1, 2, 3]}")


def test_nothing_is_extrapolated_from_one_time(images):
    """A solver may ask twice at the same time, as Heun's does between two steps."""
    conditional, null, weak, x = images
    branches = KnownBranches(CASCADE.stages[-1], conditional, null, weak)
    velocity = built("guidance", "reused", every=2, extrapolated=True).guide(branches)
    for tau in (0.5, 0.5, 0.5, 0.9):
        torch.testing.assert_close(velocity(x, tau), null + 1.5 * (conditional - null))
