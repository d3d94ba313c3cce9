"""Watching, changing and stopping a generation step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import pixelflow
from pixelflow.core import plugins
from pixelflow.core.interfaces import Sampler
from pixelflow.core.registry import registry
from pixelflow.generation.run import Run
from pixelflow.system.errors import StoppedError, UsageError
from tests.conftest import make_run, make_spec

plugins.load()
SAMPLERS = {name: entry.cls for name, entry in registry.of_kind("sampler").items() if entry.origin == "pixelflow"}
ASKED = {"labels": [1, 2], "seed": 3, "steps": [3, 4], "guidance": 1.5}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return pixelflow.load(
        make_run(tmp_path_factory.mktemp("runs") / "tiny", make_spec("backbone.until=true", "objective=shortcut"))
    )


def quick(name: str) -> dict[str, object]:
    """The sampler; few steps of an adaptive one are enough here."""
    return {"type": name, **({"rtol": 1.0, "atol": 0.1} if SAMPLERS[name].is_adaptive else {})}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_step_is_seen_and_seeing_changes_nothing(run: Run, name: str):
    seen = []
    asked = {**ASKED, "sampler": quick(name)}
    plain = run.draw(**asked)
    watched = run.draw(**asked, on_step=lambda stage, tau, x, v: seen.append((stage.index, tau, x.clone(), v.shape)))
    assert torch.equal(watched.images, plain.images)
    assert watched.nfe == plain.nfe
    for stage in run.model.cascade.stages:
        times = [tau for index, tau, _, _ in seen if index == stage.index]
        assert times == sorted(set(times))
        assert times[-1] == 1
        if not SAMPLERS[name].is_adaptive:
            assert times == pytest.approx([(step + 1) / ASKED["steps"][stage.index] for step in range(len(times))])
            assert len(times) == ASKED["steps"][stage.index]
    assert all(shape == x.shape for _, _, x, shape in seen)
    assert torch.equal(seen[-1][2], plain.images)


@pytest.mark.parametrize("name", SAMPLERS)
def test_inpainting_keeps_what_is_known_and_fills_the_rest(run: Run, name: str):
    """At every step the known half is put where the cascade has it at that time: noised alike, at its stage's size."""
    sampler = quick(name)
    known = run.sample(labels=[7, 8], seed=50, steps=2).clamp(-1, 1)
    cascade, generator = run.model.cascade, torch.Generator().manual_seed(0)
    noise = {stage: torch.randn(cascade.at_stage(known, stage).shape, generator=generator) for stage in cascade.stages}

    def keep(stage, tau: float, x: Tensor, velocity: Tensor) -> Tensor:
        there, _ = cascade.states(cascade.at_stage(known, stage), noise[stage], torch.full((len(x),), tau), stage)
        half = x.shape[-1] // 2
        return torch.cat([there[..., :half], x[..., half:]], -1)

    free, filled = (run.sample(**ASKED, sampler=sampler, on_step=on_step) for on_step in (None, keep))
    assert torch.equal(filled[..., :8], known[..., :8])
    assert filled.isfinite().all()
    assert not torch.allclose(filled[..., 8:], known[..., 8:], atol=0.05)
    assert not torch.allclose(filled[..., 8:], free[..., 8:], atol=1e-4), "the rest takes notice of what is known"


@pytest.mark.parametrize("name", ["euler", "dopri5"])
def test_a_stop_loses_no_finished_batch(run: Run, name: str):
    batches = {"labels": [1, 2, 3], "seed": 3, "sampler": name}
    steps = 0

    def stop(stage, tau, x, velocity):
        nonlocal steps
        steps += stage.is_last and tau == 1
        if steps == 2:
            raise StoppedError("that is enough")

    small = Run(make_spec("sampling.batch_size=1"), run.model, run.classes, run.source)
    with pytest.raises(StoppedError, match="that is enough") as stopped:
        small.draw(**batches, on_step=stop)
    assert torch.equal(stopped.value.result.images, small.sample(labels=1, seed=3, sampler=name))
    assert len(stopped.value.result.titles) == 1
    with pytest.raises(StoppedError) as stopped:
        run.draw(**ASKED, on_step=stop_at_once)
    assert stopped.value.result is None


def stop_at_once(stage, tau, x, velocity):
    raise StoppedError


def test_a_state_of_another_shape_is_refused(run: Run):
    with pytest.raises(UsageError, match=r"a state of shape \(1, 1, 8, 8\) in place of \(2, 1, 8, 8\)"):
        run.sample(**ASKED, on_step=lambda stage, tau, x, velocity: x[:1])


class Secret(Sampler):
    """Hands over none of its steps, as one that was written before there was anything to hand them to."""

    order, nfe_per_step = 1, 1

    def integrate(self, field, x, points, noise):
        return x + field(x, points[0])


def test_a_sampler_that_hands_over_no_steps_is_seen_at_the_end_of_each_stage(run: Run):
    from pixelflow.core.sampling import SamplingPlan, SeededNoise, generate
    from pixelflow.guidance.classifier_free import NoGuidance
    from pixelflow.samplers.grids import UniformGrid

    model, seen = run.model, []
    plan = SamplingPlan(
        Secret(Sampler.Params()), UniformGrid(UniformGrid.Params()), NoGuidance(NoGuidance.Params()), [2, 2]
    )
    condition = model.condition(model.prepare({"label": [1]}))

    def ends_in_zero(stage, tau, x, velocity):
        seen.append((stage.index, tau))
        return 0 * x

    images, _ = generate(
        model, plan, condition, None, SeededNoise([0], model.device), (1, 16, 16), on_step=ends_in_zero
    )
    assert seen == [(0, 1.0), (1, 1.0)]
    assert not images.any()
