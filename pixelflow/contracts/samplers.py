"""Checks of samplers and grids."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from pixelflow.contracts.checking import Check, expect, expect_close, expect_like
from pixelflow.core.interfaces import Grid, Sampler

_STEPS = 7
_DOUBLED = (64, 128, 256, 512)
"""Steps; with fewer, methods whose leading error happens to be small here show another order than theirs."""
_SLOPE = 0.4
"""How far the order that is seen may lie from the stated one; the next order is 1 away."""
_ROUNDING = 1e-13
"""Differences below this show no order."""
_POINTS = [index / _STEPS for index in range(_STEPS + 1)]


class _Decay:
    """A velocity that depends on state and time, with the times at which it was asked."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def __call__(self, x: Tensor, tau: float) -> Tensor:
        self.asked.append(tau)
        return (math.cos(3 * tau) - 0.5) * x - 0.3 * x.sin()

    def mean(self, x: Tensor, tau: float, until: float) -> Tensor:
        """What a network that knows no more than velocities would say."""
        return self(x, tau)

    def noise_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        return x - tau * velocity

    def noise_level(self, tau: float) -> float:
        return 1 - 0.9 * tau

    def stepped(self, x: Tensor, tau: float) -> Tensor:
        return x


def _noise(*shape: int, dtype: torch.dtype = torch.float32) -> Callable[[], Tensor]:
    """White noise, the same stream for every image and every call of this function."""
    generator = torch.Generator().manual_seed(1)
    return lambda: torch.randn(1, *shape[1:], generator=generator).to(dtype).expand(shape)


def _integrated(params: Sampler.Params, x: Tensor) -> Tensor:
    sampler: Sampler = params.build()
    return sampler.integrate(_Decay(), x, _POINTS, _noise(*x.shape, dtype=x.dtype))


def states_its_order(params: Sampler.Params) -> None:
    """``order`` is at least 1, and ``nfe_per_step`` at least 1 or, for adaptive solvers, nan."""
    sampler: Sampler = params.build()
    expect(sampler.order >= 1, f"order is {sampler.order}")
    cost = sampler.nfe_per_step
    expect(math.isnan(cost) if sampler.is_adaptive else cost >= 1, f"nfe_per_step is {cost}")


def keeps_the_state(params: Sampler.Params) -> None:
    """The result has the state's shape and dtype, and the state itself is not overwritten."""
    for dtype in (torch.float32, torch.float64):
        x = torch.randn(2, 3, 4, 6, dtype=dtype)
        before = x.clone()
        expect_like(_integrated(params, x), (2, 3, 4, 6), dtype, "the result")
        expect(torch.equal(x, before), "the state that was handed in has changed")


def counts_its_nfe(params: Sampler.Params) -> None:
    """A step costs ``nfe_per_step``, all within the stage; two more are allowed to start."""
    sampler: Sampler = params.build()
    field = _Decay()
    x = torch.randn(1, 1, 4, 4)
    sampler.integrate(field, x, _POINTS, _noise(*x.shape))
    if not sampler.is_adaptive:
        wanted, spent = sampler.nfe_per_step * _STEPS, len(field.asked)
        expect(0 <= spent - wanted <= 2, f"{_STEPS} steps cost {spent} evaluations, not {wanted}")
        expect(all(-1e-6 <= tau <= 1 + 1e-6 for tau in field.asked), "the velocity is asked for outside [0, 1]")


class _Replaced(_Decay):
    """Hands back another state after every step, and remembers when."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def stepped(self, x: Tensor, tau: float) -> Tensor:
        self.times.append(tau)
        return torch.full_like(x, tau)


def hands_over_its_steps(params: Sampler.Params) -> None:
    """After every step ``field.stepped`` is asked for the state to go on from, and what it returns is gone on from."""
    sampler: Sampler = params.build()
    field, x = _Replaced(), torch.randn(1, 1, 4, 4)
    end = sampler.integrate(field, x, _POINTS, _noise(*x.shape))
    times = field.times
    if sampler.is_adaptive:
        is_ascending = times == sorted(set(times)) and times[-1:] == [1]
        expect(is_ascending, f"the steps that are handed over do not ascend to 1: {times}")
    else:
        expect(times == _POINTS[1:], f"field.stepped is called at {times}, not after every step, at {_POINTS[1:]}")
    expect(torch.equal(end, torch.ones_like(x)), "what field.stepped returns is not gone on from")


def ignores_its_neighbours(params: Sampler.Params) -> None:
    """An image's result does not depend on the batch around it, unless the solver is adaptive."""
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64)
    if not params.component.is_adaptive:  # type: ignore[attr-defined]
        expect_close(_integrated(params, x)[1:2], _integrated(params, x[1:2]), 1e-9, "alone it comes out otherwise")


def has_the_stated_order(params: Sampler.Params) -> None:
    """Where steps are fixed, its error falls at the stated order, from both sides, on a nonlinear equation."""
    sampler: Sampler = params.build()
    x = torch.linspace(-2, 2, 16, dtype=torch.float64).view(1, 1, 4, 4)
    drawn = 0

    def noise() -> Tensor:
        nonlocal drawn
        drawn += 1
        return torch.zeros_like(x)

    def end(steps: int) -> Tensor:
        return sampler.integrate(_Decay(), x, [index / steps for index in range(steps + 1)], noise)

    coarse, middle, fine, finest = (end(steps) for steps in _DOUBLED)
    if sampler.is_adaptive or drawn:
        return
    first, last = float((coarse - middle).norm()), float((fine - finest).norm())
    if last > _ROUNDING:
        slope = math.log2(first / last) / 2
        side = "lower" if slope < sampler.order else "higher"
        expect(
            abs(slope - sampler.order) < _SLOPE,
            f"it shows an order of {slope:.2f}, {side} than the {sampler.order} stated",
        )


def spans_the_stage(params: Grid.Params) -> None:
    """``steps + 1`` increasing times from 0 to 1."""
    grid: Grid = params.build()
    for steps in (1, 2, 3, 10, 100):
        points = grid.points(steps)
        expect(len(points) == steps + 1, f"{steps} steps have {len(points)} points, not {steps + 1}")
        expect(points[0] == 0 and points[-1] == 1, f"{steps} steps run from {points[0]} to {points[-1]}")
        expect(all(a < b for a, b in pairwise(points)), f"{steps} steps do not increase: {points}")


CHECKS: tuple[Check, ...] = (
    states_its_order,
    keeps_the_state,
    counts_its_nfe,
    hands_over_its_steps,
    ignores_its_neighbours,
    has_the_stated_order,
)
GRID_CHECKS: tuple[Check, ...] = (spans_the_stage,)
