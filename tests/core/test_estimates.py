"""What a state and its velocity imply (noise, clean image), for every pair of operators."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange

from pixelflow.core import plugins
from pixelflow.core.cascade import Cascade, noise_level
from pixelflow.core.registry import registry
from pixelflow.system.errors import UsageError

plugins.load()
PAIRS = [(down, up) for up in registry.of_kind("upsampler") for down in registry.of_kind("downsampler")]


def cascade_of(down: str, up: str, stages: int) -> Cascade:
    parts = [
        registry.of_kind(kind)[name].cls.Params().build() for kind, name in (("downsampler", down), ("upsampler", up))
    ]
    return Cascade(stages, *parts)


def path(cascade, stage, size=(8, 12), tau=0.37):
    generator = torch.Generator().manual_seed(stage.index)
    y, noise = torch.randn(2, 3, 2, *size, generator=generator, dtype=torch.float64)
    x, velocity = cascade.states(y, noise, torch.full((3,), tau, dtype=torch.float64), stage)
    return y, noise, x, velocity, tau


@pytest.mark.parametrize(("down", "up"), PAIRS)
@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_noise_and_clean_image_are_recovered(down, up, stages):
    """The series in `noise_estimate` against the noise that made the state."""
    cascade = cascade_of(down, up, stages)
    for stage in cascade.stages:
        y, noise, x, velocity, tau = path(cascade, stage)
        assert torch.allclose(cascade.noise_estimate(x, velocity, tau, stage), noise, atol=2e-5)
        assert torch.allclose(cascade.clean_estimate(x, velocity, tau, stage), y, atol=2e-5)


@pytest.mark.parametrize(
    ("down", "up"), [("bilinear", "nearest"), ("nearest", "lanczos"), ("haar", "nearest"), ("lanczos", "bicubic")]
)
@pytest.mark.parametrize("stages", [2, 4, 7])
def test_the_series_is_the_dense_solution(down, up, stages):
    cascade = cascade_of(down, up, stages)
    basis = torch.eye(64, dtype=torch.float64).view(64, 1, 8, 8)
    blur = rearrange(cascade.blur(basis), "i 1 h w -> (h w) i")
    generator = torch.Generator().manual_seed(0)
    x, velocity = torch.randn(2, 1, 1, 8, 8, generator=generator, dtype=torch.float64)
    for stage in cascade.stages[1:]:
        s, e, tau = stage.start, stage.end, 0.6
        start, end = ((x - tau * velocity).flatten(), (x + (1 - tau) * velocity).flatten())
        matrix = (1 - s) * torch.eye(64, dtype=torch.float64) - s / e * (1 - e) * blur
        dense = torch.linalg.solve(matrix, start - s / e * (blur @ end))
        assert torch.allclose(cascade.noise_estimate(x, velocity, tau, stage).flatten(), dense, atol=1e-4)


@pytest.mark.parametrize(("down", "up"), PAIRS)
@pytest.mark.parametrize("tau", [0.0, 0.5, 0.8])
def test_velocity_and_clean_image_are_inverse(down, up, tau):
    cascade = cascade_of(down, up, 3)
    for stage in cascade.stages:
        y, _, x, velocity, _ = path(cascade, stage, tau=tau)
        assert noise_level(stage, tau) > 0.05
        assert torch.allclose(cascade.velocity_from_clean(x, y, tau, stage), velocity, atol=1e-6)
        clean = cascade.clean_estimate(x, velocity + 0.1, tau, stage)
        assert torch.allclose(cascade.velocity_from_clean(x, clean, tau, stage), velocity + 0.1, atol=1e-4)


def test_the_division_is_kept_from_zero():
    cascade = cascade_of("bilinear", "nearest", 2)
    y, _, x, _, _ = path(cascade, cascade.stages[-1], tau=1.0)
    assert cascade.velocity_from_clean(x, y + 0.1, 1.0, cascade.stages[-1]).abs().max() < 1e2


def test_a_diverging_series_is_refused(monkeypatch):
    cascade = cascade_of("bilinear", "nearest", 3)
    monkeypatch.setitem(cascade.__dict__, "_blur_radius", 10.0)
    x = torch.zeros(1, 1, 4, 4)
    with pytest.raises(UsageError, match="bilinear down and nearest up amplify"):
        cascade.noise_estimate(x, x, 0.5, cascade.stages[1])
