"""Pyramids, training states, renoising, and what states imply."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pixelflow.core.cascade import Cascade, noise_level
from pixelflow.core.interfaces import Upsampler
from pixelflow.core.renoising import NotLinearError
from pixelflow.operators.bilinear import BilinearDown
from pixelflow.operators.nearest import NearestUp


def cascade(stages: int = 3) -> Cascade:
    return Cascade(stages, BilinearDown(BilinearDown.Params()), NearestUp(NearestUp.Params()))


def white(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("index", range(3))
def test_states_are_the_papers_equations(index: int) -> None:
    whole = cascade()
    stage = whole.stages[index]
    y, n, tau = white(2, 3, 8, 12), white(2, 3, 8, 12, seed=1), torch.tensor([0.2, 0.7], dtype=torch.float64)
    small = (y[..., ::2, ::2] + y[..., 1::2, ::2] + y[..., ::2, 1::2] + y[..., 1::2, 1::2]) / 4
    blurred = small.repeat_interleave(2, -2).repeat_interleave(2, -1)
    start = stage.start * blurred + (1 - stage.start) * n
    end = stage.end * y + (1 - stage.end) * n
    x, v = whole.states(y, n, tau, stage)
    between = tau.view(2, 1, 1, 1)
    torch.testing.assert_close(x, between * end + (1 - between) * start)
    torch.testing.assert_close(v, end - start)


def test_stages_see_recursively_halved_images() -> None:
    whole, images = cascade(), white(1, 3, 16, 24)
    assert [whole.size(stage, 16, 24) for stage in whole.stages] == [(4, 6), (8, 12), (16, 24)]
    halved = images.unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2))
    torch.testing.assert_close(whole.at_stage(images, whole.stages[0]), halved)


@pytest.mark.parametrize("index", [1, 2])
@pytest.mark.parametrize("size", [(4, 4), (4, 6)])
def test_renoising_makes_the_noise_white(index: int, size: tuple[int, int]) -> None:
    """The covariance after the jump, as a matrix, is (1 - s)^2 I, and the mean is s U y."""
    whole = cascade()
    stage, (height, width) = whole.stages[index], size
    pixels, coarse = height * width, height * width // 4
    zeros = torch.zeros(coarse, 1, height // 2, width // 2, dtype=torch.float64)
    directions = torch.eye(pixels, dtype=torch.float64).view(pixels, 1, height, width)
    added = whole.renoise(zeros[:1], stage, whole.up.shape_noise(directions)).flatten(1)
    impulses = torch.eye(coarse, dtype=torch.float64).view_as(zeros)
    carried = whole.renoise(impulses, stage, torch.zeros(coarse, 1, height, width, dtype=torch.float64)).flatten(1)
    level = (1 - stage.previous_end) ** 2
    covariance = level * carried.T @ carried + added.T @ added
    torch.testing.assert_close(covariance, (1 - stage.start) ** 2 * torch.eye(pixels, dtype=torch.float64))
    upsampled = impulses.repeat_interleave(2, -2).repeat_interleave(2, -1).flatten(1)
    torch.testing.assert_close(stage.previous_end * carried, stage.start * upsampled)


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("tau", [0.0, 0.4, 0.9])
def test_a_state_and_its_velocity_imply_noise_and_image(index: int, tau: float) -> None:
    whole = cascade()
    stage = whole.stages[index]
    y, n = white(2, 1, 8, 8), white(2, 1, 8, 8, seed=1)
    x, v = whole.states(y, n, torch.full((2,), tau, dtype=torch.float64), stage)
    torch.testing.assert_close(whole.noise_estimate(x, v, tau, stage), n, rtol=0, atol=1e-6)
    torch.testing.assert_close(whole.clean_estimate(x, v, tau, stage), y, rtol=0, atol=1e-5)
    torch.testing.assert_close(whole.velocity_from_clean(x, y, tau, stage), v, rtol=0, atol=1e-6)


def test_the_noise_level_falls_to_zero_only_at_the_very_end() -> None:
    stages = cascade().stages
    assert noise_level(stages[0], 0.0) == 1
    assert noise_level(stages[-1], 1.0) == 0
    assert all(noise_level(stage, 1.0) == pytest.approx(1 - stage.end) for stage in stages)


class Squared(Upsampler):
    """Not linear."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -2).repeat_interleave(2, -1) ** 2

    @classmethod
    def type_name(cls) -> str:
        return "squared"


def test_an_operator_that_is_not_linear_is_refused() -> None:
    with pytest.raises(NotLinearError, match="squared is not linear"):
        Cascade(2, BilinearDown(BilinearDown.Params()), Squared(Upsampler.Params()))
