"""Proof that a combination of operators, sampler and stages is exact, without training and without Monte Carlo.

For Gaussian data the best velocity is linear in the state, so generation is a linear map J of all the noise it
draws, and the images' covariance ``J J^T`` must be the data's. It is found by running the real `generate` on a
batch whose noise is an orthogonal basis. Nothing here knows the cascade's formulas: the best velocity is the
regression of the training target on the training state, both as `Cascade.states` gives them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from pixelflow.core.best_velocity import BestVelocity, as_images
from pixelflow.core.cascade import Cascade
from pixelflow.core.component import ComponentParams
from pixelflow.core.condition import Condition
from pixelflow.core.entering import Entry
from pixelflow.core.interfaces import (
    Branches,
    Downsampler,
    Grid,
    Guidance,
    NoiseSource,
    Prediction,
    Sampler,
    Upsampler,
    Velocity,
)
from pixelflow.core.model import FlowModel
from pixelflow.core.sampling import SamplingPlan, generate
from pixelflow.core.schedule import Stage

SLOPE_TOLERANCE = 0.2
"""How far the measured order may lie from the one that a solver states."""

EXACT = 1e-3
"""Relative error of the covariance below which a combination counts as exact."""


_FIRST_STEPS = {1: 8, 2: 8}
"""Steps to start from, by order; few for the higher orders, whose errors soon drown in rounding."""

_TOLERANCES = (1e-3, 1e-5, 1e-6, 1e-7)
"""Relative tolerances at which adaptive solvers are tried in turn."""

_ROUNDING = 1e-9
"""Errors below this show no order."""


class NotExactError(ValueError):
    """The images that a combination generates do not have the law of the data."""


@dataclass(frozen=True)
class Convergence:
    """Errors of the generated covariance at growing numbers of steps, each twice the one before."""

    steps: tuple[int, ...]
    errors: tuple[float, ...]
    limit: float
    """Error of the covariance that the three tend to (Richardson's extrapolation)."""

    @property
    def slope(self) -> float:
        """The order that the last two errors show."""
        return math.log2(self.errors[-2] / self.errors[-1])


@dataclass(frozen=True)
class Entrance:
    """Where images of the data enter a cascade."""

    stage: int
    tau: float
    images: int
    """The stage whose resolution they have."""


def image_covariance(height: int, width: int) -> Tensor:
    """A covariance (d d) of smooth images that is neither stationary nor separable; d = height * width."""
    generator = torch.Generator().manual_seed(0)
    axes = [torch.arange(side, dtype=torch.float64) for side in (height, width)]
    places = torch.cartesian_prod(*axes).view(-1, 2)
    smooth = torch.exp(-(torch.cdist(places, places) ** 2) / 8)
    pixels = height * width
    parts = torch.randn(pixels, pixels, generator=generator, dtype=torch.float64)
    return 0.3 * smooth + 0.1 * torch.eye(pixels, dtype=torch.float64) + 0.1 * (parts @ parts.mT) / pixels


class GaussianCascade:
    """A cascade on Gaussian images of a known covariance, with the best velocity in the network's place.

    Keeps the velocities it has worked out, so trying several samplers on one object is cheap.
    """

    def __init__(self, down: Downsampler, up: Upsampler, stages: int, size: tuple[int, int]) -> None:
        self.cascade = Cascade(stages, down, up)
        self.size = size
        self.covariance = image_covariance(*size)
        self._model = FlowModel(self.cascade, BestVelocity(self.cascade, self.covariance, size), [], _AsItIs())

    def generated(self, sampler: Sampler, grid: Grid, steps: int, entrance: Entrance | None = None) -> Tensor:
        """The covariance (d d) of what `generate` makes with `steps` steps a stage.

        Args:
            entrance: where images of the data enter the cascade; by default all begins with noise.
        """
        counts = [steps] * len(self.cascade.stages)
        counter = _CountedNoise()
        self._generate(SamplingPlan(sampler, grid, _Still(), counts), counter, entrance)
        columns = counter.count
        jacobian = self._generate(SamplingPlan(sampler, grid, _Unguided(), counts), _OrthogonalNoise(columns), entrance)
        flat = rearrange(jacobian, "b 1 h w -> b (h w)")
        return flat.mT @ flat / columns

    def error(self, covariance: Tensor) -> float:
        """Relative distance of a covariance to the data's, in the Frobenius norm."""
        return float((covariance - self.covariance).norm() / self.covariance.norm())

    def convergence(self, sampler: Sampler, grid: Grid, steps: int) -> Convergence:
        """How the covariance approaches the data's with `steps`, twice and four times as many steps a stage."""
        counts = (steps, 2 * steps, 4 * steps)
        coarse, middle, fine = found = [self.generated(sampler, grid, count) for count in counts]
        first, second = 2**sampler.order, 2 ** (sampler.order + 1)
        once = [(first * better - worse) / (first - 1) for worse, better in ((coarse, middle), (middle, fine))]
        limit = (second * once[1] - once[0]) / (second - 1)
        return Convergence(counts, tuple(map(self.error, found)), self.error(limit))

    def _generate(self, plan: SamplingPlan, noise: NoiseSource, entrance: Entrance | None) -> Tensor:
        entry = None
        if entrance is not None:
            images = (
                rearrange(noise.white(1, *self.size), "b 1 h w -> b (h w)") @ torch.linalg.cholesky(self.covariance).mT
            )
            given = self.cascade.at_stage(as_images(images, *self.size), self.cascade.stages[entrance.images])
            entry = Entry(entrance.stage, entrance.tau, given)
        return generate(self._model, plan, Condition(), Condition(), noise, (1, *self.size), entry=entry)[0]


def cascade_error(
    down: Downsampler,
    up: Upsampler,
    sampler: Sampler,
    grid: Grid,
    stages: int,
    steps: int,
    size: tuple[int, int] = (8, 8),
) -> float:
    """Relative error of the covariance that a combination generates with `steps` steps a stage.

    Raises:
        NotLinearError: an operator is not linear, or its renoising cannot be derived.
    """
    cascade = GaussianCascade(down, up, stages, size)
    return cascade.error(cascade.generated(sampler, grid, steps))


def check_exact(cascade: GaussianCascade, sampler: Sampler, grid: Grid) -> float:
    """The error that a combination converges to.

    A fixed-step solver must approach it at its stated order at least (a Gaussian's straight paths are kinder than
    most to some, the midpoint method for one); an adaptive one must reach it as its tolerances tighten.

    Raises:
        NotExactError: the error does not fall as stated, or not to below `EXACT`.
    """
    check = _check_adaptive if sampler.is_adaptive else _check_fixed_steps
    return check(cascade, sampler, grid)


def _check_fixed_steps(cascade: GaussianCascade, sampler: Sampler, grid: Grid) -> float:
    found = cascade.convergence(sampler, grid, _FIRST_STEPS.get(sampler.order, 2))
    if found.limit > EXACT:
        raise NotExactError(f"{_named(cascade, sampler)}: the covariance tends to an error of {found.limit:.2g}")
    if found.errors[-1] > _ROUNDING and found.slope < sampler.order - SLOPE_TOLERANCE:
        raise NotExactError(
            f"{_named(cascade, sampler)}: the error falls from {found.errors[-2]:.2g} to {found.errors[-1]:.2g} when "
            f"{found.steps[-2]} steps double, an order of {found.slope:.2f} where {sampler.order} is stated"
        )
    return found.limit


def _check_adaptive(cascade: GaussianCascade, sampler: Sampler, grid: Grid) -> float:
    error = math.inf
    for tolerance in _TOLERANCES:
        error = cascade.error(cascade.generated(_tightened(sampler, tolerance), grid, 1))
        if error < EXACT:
            return error
    raise NotExactError(f"{_named(cascade, sampler)}: the error is still {error:.2g} at a tolerance of {tolerance:g}")


def _tightened(sampler: Sampler, tolerance: float) -> Sampler:
    """The sampler at other tolerances, where its settings have any."""
    changes = {"rtol": tolerance, "atol": tolerance / 1000}
    known = {name: value for name, value in changes.items() if name in type(sampler.params).model_fields}
    tightened: Sampler = sampler.params.model_copy(update=known).build()
    return tightened


def _named(cascade: GaussianCascade, sampler: Sampler) -> str:
    down, up = cascade.cascade.down.type_name(), cascade.cascade.up.type_name()
    return f"{down} down, {up} up, {sampler.type_name()}, {len(cascade.cascade.stages)} stages"


class _AsItIs(Prediction):
    """The oracle gives velocities."""

    def __init__(self) -> None:
        super().__init__(ComponentParams())

    def velocity(
        self, output: Tensor, x: Tensor, tau: Tensor, stage: Stage, blur: Callable[[Tensor], Tensor]
    ) -> Tensor:
        return output


class _Unguided(Guidance):
    """The oracle knows no condition."""

    def __init__(self) -> None:
        super().__init__(ComponentParams())

    def guide(self, branches: Branches) -> Velocity:
        return branches.conditional

    def nfe(self, stage: Stage, tau: float) -> int:
        return 1


class _Still(_Unguided):
    """Nothing moves, at no cost: how much noise is drawn does not depend on where images go."""

    def guide(self, branches: Branches) -> Velocity:
        return lambda x, tau: torch.zeros_like(x)


class _OrthogonalNoise:
    """Noise whose batch holds, for each random number drawn, one column of ``sqrt(n) Q`` with Q orthogonal (n n).

    Q is the discrete cosine transform of type IV, so that every image looks like noise of unit variance, and
    adaptive solvers meet the errors that they would meet on random noise.
    """

    def __init__(self, columns: int) -> None:
        self._columns, self._drawn = columns, 0

    def white(self, channels: int, height: int, width: int) -> Tensor:
        rows = torch.arange(self._columns, dtype=torch.float64) + 0.5
        drawn = torch.arange(self._drawn, self._drawn + height * width, dtype=torch.float64) + 0.5
        self._drawn += height * width
        block = math.sqrt(2) * torch.cos(torch.outer(rows, drawn) * (math.pi / self._columns))
        return as_images(block, height, width)

    def renoising(self, up: Upsampler, channels: int, height: int, width: int) -> Tensor:
        return up.shape_noise(self.white(channels, height, width))


class _CountedNoise:
    """Counts the random numbers that a generation draws."""

    def __init__(self) -> None:
        self.count = 0

    def white(self, channels: int, height: int, width: int) -> Tensor:
        self.count += height * width
        return torch.zeros(1, 1, height, width, dtype=torch.float64)

    def renoising(self, up: Upsampler, channels: int, height: int, width: int) -> Tensor:
        return self.white(channels, height, width)
