"""What the network predicts, on which times, and with which patches."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelflow.core import plugins
from pixelflow.core.cascade import Cascade
from pixelflow.core.registry import registry
from tests.conftest import lively_model, make_spec

plugins.load()
PAIRS = [("bilinear", "nearest"), ("bicubic", "lanczos"), ("haar", "haar")]


def built(kind: str, name: str, **settings):
    return registry.of_kind(kind)[name].cls.Params(**settings).build()


@pytest.mark.parametrize(("down", "up"), PAIRS)
@pytest.mark.parametrize("stages", [1, 3, 4])
def test_the_true_clean_image_gives_the_true_velocity(down, up, stages):
    """A batch with a time for each image, as in training."""
    cascade = Cascade(stages, built("downsampler", down), built("upsampler", up))
    prediction = built("prediction", "clean")
    y, noise = torch.randn(2, 4, 3, 8, 12, dtype=torch.float64)
    tau = torch.tensor([0.0, 0.3, 0.6, 0.75], dtype=torch.float64)
    for stage in cascade.stages:
        x, target = cascade.states(y, noise, tau, stage)
        got = prediction.velocity(y, x, tau.view(-1, 1, 1, 1), stage, cascade.blur)
        assert torch.allclose(got, target, atol=1e-6)


def test_the_velocity_prediction_is_the_output():
    output, x = torch.randn(2, 2, 1, 4, 4)
    stage = Cascade(2, built("downsampler", "bilinear"), built("upsampler", "nearest")).stages[1]
    assert built("prediction", "velocity").velocity(output, x, torch.zeros(2, 1, 1, 1), stage, lambda y: y) is output


def test_a_model_may_predict_the_clean_image():
    spec = make_spec("objective.prediction=clean")
    model = lively_model(spec)
    stage = model.cascade.stages[1]
    x = torch.randn(2, 1, 16, 16)
    condition = model.condition(model.prepare({"label": [3, 4]}))
    (velocity,) = model([x], [stage], [torch.tensor([0.2, 0.9])], condition)
    velocity.square().mean().backward()
    assert velocity.shape == x.shape
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.backbone.parameters())


@given(
    name=st.sampled_from(list(registry.of_kind("times"))),
    count=st.integers(0, 300),
    seed=st.integers(0, 2**31),
)
def test_times_lie_in_the_stage_and_follow_the_seed(name, count, seed):
    first, again = (built("times", name).sample(count, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (count,)
    assert first.dtype == torch.float32
    assert ((first >= 0) & (first < 1)).all()


@given(mean=st.floats(-10, 10), std=st.floats(0.01, 10))
def test_logit_normal_times_never_reach_the_end(mean, std):
    drawn = built("times", "logit_normal", mean=mean, std=std).sample(1000, torch.Generator().manual_seed(0))
    assert ((drawn >= 0) & (drawn < 1)).all()


def test_logit_normal_times_have_their_mean_and_spread():
    logits = built("times", "logit_normal", mean=-0.8, std=0.5).sample(20000, torch.Generator().manual_seed(0)).logit()
    assert float(logits.mean()) == pytest.approx(-0.8, abs=0.02)
    assert float(logits.std()) == pytest.approx(0.5, abs=0.02)


def test_official_times_are_the_releases():
    drawn = built("times", "official").sample(20000, torch.Generator().manual_seed(0))
    index = drawn.double() * 1000
    assert torch.allclose(index, index.round(), atol=1e-4)
    assert (int(index.round().min()), int(index.round().max())) == (0, 999)
    assert math.isclose(float(drawn.mean()), 0.4995, abs_tol=0.01)


def test_patches_by_stage_have_projections_of_their_own():
    """Sizes that stages share are shared; a packed batch of both stages equals its parts."""
    spec = make_spec("cascade.stages=3", "cascade.patch=[2, 2, 4]")
    model = lively_model(spec)
    assert set(model.backbone.patch_in) == set(model.backbone.patch_out) == {"2", "4"}
    assert model.backbone.patch_in["4"].in_features == 16
    stages = model.cascade.stages
    images = [torch.randn(2, 1, 4, 4), torch.randn(1, 1, 8, 8), torch.randn(3, 1, 16, 16)]
    tau = [torch.rand(len(x)) for x in images]
    condition = model.condition(model.prepare({"label": [0, 1, 2, 3, 4, 5]}))
    with torch.no_grad():
        packed = model(images, stages, tau, condition)
        alone = [
            model([x], [stage], [t], condition.at(part))[0]
            for x, stage, t, part in zip(images, stages, tau, (slice(0, 2), slice(2, 3), slice(3, 6)), strict=True)
        ]
    for together, single in zip(packed, alone, strict=True):
        assert torch.allclose(together, single, atol=1e-5)


def test_each_stages_projection_learns_from_its_stage_only():
    model = lively_model(make_spec("cascade.patch=[2, 4]"))
    condition = model.condition(model.prepare({"label": [0]}))
    model([torch.randn(1, 1, 16, 16)], [model.cascade.stages[1]], [torch.tensor([0.5])], condition)[0].sum().backward()
    assert model.backbone.patch_in["2"].weight.grad is None
    assert model.backbone.patch_in["4"].weight.grad.any()


def test_stages_may_predict_different_things():
    """The last that is named holds for all stages behind it."""
    cascade = Cascade(3, built("downsampler", "bilinear"), built("upsampler", "nearest"))
    mixed = built("prediction", "by_stage")
    output, x = torch.randn(2, 1, 1, 8, 8)
    tau = torch.full((1, 1, 1, 1), 0.4)
    for stage, name in zip(cascade.stages, ("velocity", "clean", "clean"), strict=True):
        wanted = built("prediction", name).velocity(output, x, tau, stage, cascade.blur)
        assert torch.equal(mixed.velocity(output, x, tau, stage, cascade.blur), wanted)
    spec = make_spec("objective.prediction={type: by_stage, stages: [clean, velocity]}")
    assert [own.type for own in spec.objective.prediction.stages] == ["clean", "velocity"]
