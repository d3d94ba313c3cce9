"""Order of convergence on a nonlinear equation, evaluations a step, and what each solver reduces to."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pixelflow.core import plugins
from pixelflow.core.registry import registry

plugins.load()
SAMPLERS = registry.of_kind("sampler")
FIXED = [name for name, entry in SAMPLERS.items() if not entry.cls.is_adaptive]
ADAPTIVE = [name for name in SAMPLERS if name not in FIXED]


class Logistic:
    """x' = (1 + tau) x (1 - x / 3), solved by 3 / (1 + (3 / x0 - 1) exp(-tau - tau^2 / 2)); counts its calls."""

    def __init__(self, *, ends_clean: bool = False) -> None:
        self.asked: list[float] = []
        self.ends_clean = ends_clean

    @property
    def calls(self) -> int:
        return len(self.asked)

    def __call__(self, x: Tensor, tau: float) -> Tensor:
        self.asked.append(tau)
        return (1 + tau) * x * (1 - x / 3)

    def mean(self, x: Tensor, tau: float, until: float) -> Tensor:
        return self(x, tau)

    def noise_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        return torch.zeros_like(x)

    def noise_level(self, tau: float) -> float:
        return 1 - tau if self.ends_clean else 1 - tau / 2

    def stepped(self, x: Tensor, tau: float) -> Tensor:
        return x


class Straight(Logistic):
    """The same velocity everywhere."""

    def __call__(self, x: Tensor, tau: float) -> Tensor:
        return torch.full_like(x, 0.7)


def built(name: str, **settings):
    return SAMPLERS[name].cls.Params(**settings).build()


def error(sampler, points, ends_clean=False) -> float:
    x = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    got = sampler.integrate(Logistic(ends_clean=ends_clean), x, points, lambda: torch.zeros_like(x))
    return abs(float(got) - 3 / (1 + 5 * math.exp(-1.5)))


def uniform(steps: int) -> list[float]:
    return [index / steps for index in range(steps + 1)]


def uneven(steps: int) -> list[float]:
    return [(tau + tau**2) / 2 for tau in uniform(steps)]


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("points", [uniform, uneven])
@pytest.mark.parametrize("ends_clean", [False, True])
def test_order_on_a_nonlinear_equation(name, points, ends_clean):
    sampler = built(name)
    steps = {1: 400, 2: 200, 4: 40}[sampler.order]
    slope = math.log2(error(sampler, points(steps), ends_clean) / error(sampler, points(2 * steps), ends_clean))
    assert slope == pytest.approx(sampler.order, abs=0.2)


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_evaluations_are_as_stated(name, steps):
    sampler, field = built(name), Logistic()
    x = torch.ones(1, 1, 1, 1)
    sampler.integrate(field, x, uniform(steps), lambda: torch.zeros_like(x))
    assert field.calls == steps * sampler.nfe_per_step


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_nothing_is_asked_of_a_clean_image(name, steps):
    """Without noise no network can tell which noise it was, so that half of the last step's would be left."""
    field, x = Logistic(ends_clean=True), torch.ones(1, 1, 1, 1)
    built(name).integrate(field, x, uniform(steps), lambda: torch.zeros_like(x))
    assert max(field.asked) < 1
    assert field.calls <= steps * built(name).nfe_per_step


class KnowsTheImage(Logistic):
    """The best velocity where all images are white; of a clean one it takes any noise to be as likely."""

    def __call__(self, x: Tensor, tau: float) -> Tensor:
        return (1 - x) / (1 - tau) if tau < 1 else x

    def noise_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        return (x - tau) / (1 - tau)


@pytest.mark.parametrize("name", sorted(set(FIXED) - {"sde_euler"}))
@pytest.mark.parametrize("steps", [1, 4])
def test_no_noise_is_left_in_a_clean_image(name, steps):
    noise = torch.randn(1, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    got = built(name).integrate(KnowsTheImage(ends_clean=True), noise, uniform(steps), lambda: noise)
    assert torch.allclose(got, torch.ones_like(noise))


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_solvers_follow_their_tolerance(name):
    loose, tight = (error(built(name, rtol=rtol, atol=rtol), [0.0, 1.0]) for rtol in (1e-2, 1e-7))
    assert loose < 0.3
    assert tight < 1e-4


@pytest.mark.parametrize("name", FIXED)
def test_straight_paths_take_one_step(name):
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    for steps in (1, 3):
        got = built(name).integrate(Straight(), x, uniform(steps), lambda: torch.zeros_like(x))
        assert torch.allclose(got, x + 0.7)


def test_no_strength_is_eulers_method():
    x = torch.randn(2, 1, 4, 4)
    noise = lambda: torch.randn_like(x)  # noqa: E731
    got, wanted = (
        s.integrate(Logistic(), x, uniform(5), noise) for s in (built("sde_euler", strength=0), built("euler"))
    )
    assert torch.equal(got, wanted)


def test_the_last_step_draws_no_noise():
    drawn = []
    x = torch.zeros(1, 1, 2, 2)
    built("sde_euler").integrate(Logistic(), x, uniform(4), lambda: drawn.append(1) or torch.zeros_like(x))
    assert len(drawn) == 3


def test_adams_bashforth_starts_anew():
    """Two integrations in a row with one object are as two with fresh ones."""
    sampler, x = built("adams_bashforth2"), torch.ones(1, 1, 1, 1)
    first = sampler.integrate(Logistic(), x, uniform(3), lambda: x)
    assert torch.equal(first, sampler.integrate(Logistic(), x, uniform(3), lambda: x))


@given(steps=st.integers(1, 200), shift=st.floats(0.05, 20), name=st.sampled_from(["shifted", "official"]))
def test_shifted_grids_are_grids(steps, shift, name):
    points = registry.of_kind("grid")[name].cls.Params(shift=shift).build().points(steps)
    assert len(points) == steps + 1
    assert (points[0], points[-1]) == (0, 1)
    assert all(a < b for a, b in itertools.pairwise(points))


def test_shift_moves_points_early():
    early = registry.of_kind("grid")["shifted"].cls.Params(shift=3.0).build().points(4)
    assert early == pytest.approx([0, 0.25 / 2.5, 0.5 / 2, 0.75 / 1.5, 1])
