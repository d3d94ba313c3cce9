"""Every registered pair of operators, with every sampler and 1 to 4 stages, generates the law of the data."""

from __future__ import annotations

from functools import cache, lru_cache

import pytest

from pixelflow.core import plugins
from pixelflow.core.exactness import GaussianCascade, cascade_error, check_exact
from pixelflow.core.registry import registry

plugins.load()

SIZES = {1: (4, 6), 2: (4, 6), 3: (4, 8), 4: (8, 8)}
"""The smallest interesting images for each number of stages; the coarsest stage is down to 1 pixel."""

SAMPLERS = [name for name, entry in registry.of_kind("sampler").items() if entry.origin == "pixelflow"]
DOWN, UP = list(registry.of_kind("downsampler")), list(registry.of_kind("upsampler"))
PAIRS = [(down, up) for up in UP for down in DOWN]
THOROUGH = [("bilinear", "nearest")]
"""Pairs on which every solver is tried at every number of stages: the paper's."""
COSTLY = [name for name in SAMPLERS if registry.of_kind("sampler")[name].cls.is_adaptive] + ["sde_euler"]
"""Adaptive solvers share no velocities with others, and fresh noise at every step makes large batches."""
CHEAP = [name for name in SAMPLERS if name not in COSTLY]


def stands_for_others(down: str, up: str, stages: int, sampler: str) -> bool:
    """Whether the suite tries a combination; `make bench` tries all.

    Each pair meets each number of stages, and each operator each solver: costly ones take turns at two stages.
    """
    turn = DOWN.index(down) + UP.index(up)
    if (down, up) in THOROUGH:
        return True
    if stages == 2:
        return sampler in (COSTLY[turn % len(COSTLY)], COSTLY[(turn + 3) % len(COSTLY)])
    return sampler == CHEAP[(turn + len(UP) * stages) % len(CHEAP)]


def case(down: str, up: str, stages: int, sampler: str):
    marks = [] if stands_for_others(down, up, stages, sampler) else [pytest.mark.slow]
    return pytest.param(down, up, stages, sampler, marks=marks)


CASES = [case(down, up, stages, sampler) for down, up in PAIRS for stages in (2, 3, 4) for sampler in SAMPLERS]


def test_the_suite_tries_each_with_each():
    """Pairs with numbers of stages, and solvers with operators and with numbers of stages."""
    tried = {parameters.values for parameters in CASES if not parameters.marks}
    assert {(down, up, stages) for down, up, stages, _ in tried} == {(*pair, n) for pair in PAIRS for n in (2, 3, 4)}
    assert {(down, sampler) for down, _, _, sampler in tried} == {(down, name) for down in DOWN for name in SAMPLERS}
    assert {(up, sampler) for _, up, _, sampler in tried} == {(up, name) for up in UP for name in SAMPLERS}
    assert {(stages, name) for _, _, stages, name in tried} == {(n, name) for n in (2, 3, 4) for name in SAMPLERS}


@cache
def built(kind: str, name: str):
    return registry.of_kind(kind)[name].cls.Params().build()


@lru_cache(maxsize=4)
def gaussian(down: str, up: str, stages: int) -> GaussianCascade:
    """Kept over the samplers, which follow each other for one pair, for the velocities that it has worked out."""
    return GaussianCascade(built("downsampler", down), built("upsampler", up), stages, SIZES[stages])


@pytest.mark.parametrize(("down", "up", "stages", "sampler"), CASES)
def test_any_combination_is_exact(down, up, stages, sampler):
    check_exact(gaussian(down, up, stages), built("sampler", sampler), built("grid", "uniform"))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_stage_is_exact(sampler):
    """One stage uses no operator, so one pair stands for all."""
    check_exact(gaussian("bilinear", "nearest", 1), built("sampler", sampler), built("grid", "uniform"))


@pytest.mark.parametrize("grid", registry.of_kind("grid"))
@pytest.mark.parametrize("sampler", ["heun", "adams_bashforth2", "dpmpp_2m"])
def test_any_grid_is_exact(grid, sampler):
    """On unequal steps too the error falls at second order."""
    errors = [
        gaussian("bilinear", "bicubic", 2).error(
            gaussian("bilinear", "bicubic", 2).generated(built("sampler", sampler), built("grid", grid), steps)
        )
        for steps in (30, 60)
    ]
    assert errors[1] < 1e-3
    assert errors[1] < errors[0] / 3.4


@pytest.mark.parametrize(("down", "up"), [("bilinear", "nearest"), ("haar", "haar"), ("lanczos", "lanczos")])
@pytest.mark.parametrize("size", [(8, 16), (16, 8)])
def test_wide_and_tall_images_are_exact(down, up, size):
    error = cascade_error(
        built("downsampler", down),
        built("upsampler", up),
        built("sampler", "rk4"),
        built("grid", "uniform"),
        4,
        8,
        size,
    )
    assert error < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["euler", "sde_euler"])
def test_first_order_reaches_exactness_by_steps_alone(sampler):
    """What `check_exact` extrapolates for the first order, walked to."""
    steps = {"euler": 2048, "sde_euler": 1024}[sampler]
    cascade = GaussianCascade(built("downsampler", "bilinear"), built("upsampler", "nearest"), 2, (2, 2))
    assert cascade.error(cascade.generated(built("sampler", sampler), built("grid", "uniform"), steps)) < 1e-3


def test_a_jump_with_a_perfect_network_is_exact_whatever_the_step():
    cascade = gaussian("bilinear", "nearest", 3)
    for steps in (1, 3):
        assert cascade.error(cascade.generated(built("sampler", "jump"), built("grid", "uniform"), steps)) < 1e-8
    assert cascade.error(cascade.generated(built("sampler", "euler"), built("grid", "uniform"), 1)) > 0.05
