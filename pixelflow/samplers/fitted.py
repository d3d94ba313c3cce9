"""Multistep weights that were fitted to a network (optimal linear subspace search, arXiv 2305.14677)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, Self

from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler
from pixelflow.core.schedule import Stage
from pixelflow.system.errors import UsageError

StepWeights = tuple[tuple[float, ...], ...]
"""For each step of a stage a weight for its first state, and one for each velocity that was asked for until then."""


class Fitted(Sampler):
    """A step adds a weighted sum of the stage's first state and all velocities since, one evaluation a step.

    `pixelflow tune` finds the weights by least squares, such that each step of a run's own images ends nearest to where
    a fine reference passes (arXiv 2305.14677, section 3.3). They belong to the run, its guidance, the grid and the
    number of steps that they were fitted with. Without any it is the two-step Adams-Bashforth method, from which the
    order is.
    """

    order = 2
    nfe_per_step = 1

    class Params(Sampler.Params):
        type: Literal["fitted"] = "fitted"
        weights: tuple[StepWeights, ...] = ()
        """For each stage, coarse to fine, a list for each step: the weight of the first state, and of each velocity; as
        `pixelflow tune` writes them."""
        times: tuple[tuple[float, ...], ...] = ()
        """The times in [0, 1] of each stage's steps that they were fitted on, by which another grid is told."""

    params: Params
    _stage: Stage | None = None

    def at(self, stage: Stage) -> Self:
        own = type(self)(self.params)
        own._stage = stage
        return own

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        given = [x]
        for own, (now, after) in zip(self._weights(points), pairwise(points), strict=True):
            given.append(field(x, now))
            x = field.stepped(moved(x, given, own), after)
        return x

    def _weights(self, points: Sequence[float]) -> StepWeights:
        """Those of this stage.

        Raises:
            UsageError: they were fitted for another cascade, number of steps or grid.
        """
        fitted, stage = self.params.weights, self._stage
        if not fitted or stage is None:
            return adams_bashforth(points)
        if len(fitted) != stage.count:
            raise UsageError(f"sampling.sampler.weights are of {len(fitted)} stages, and the cascade has {stage.count}")
        own, steps = fitted[stage.index], len(points) - 1
        if [len(step) for step in own] != list(range(2, steps + 2)):
            raise UsageError(
                f"sampling.sampler.weights of stage {stage.index} were fitted for {len(own)} steps, and {steps} are "
                "asked for; keep the steps that pixelflow tune found, or run it again"
            )
        if stage.index < len(self.params.times) and not _are_close(self.params.times[stage.index], points):
            raise UsageError(
                f"sampling.sampler.weights of stage {stage.index} were fitted on another grid of times; keep the "
                "sampling.grid that pixelflow tune found, or run it again"
            )
        return own


def _are_close(times: Sequence[float], points: Sequence[float]) -> bool:
    return len(times) == len(points) and all(abs(one - other) < 1e-5 for one, other in zip(times, points, strict=True))


def moved(x: Tensor, given: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """``x + sum(weight * given)``, all (b c h w)."""
    for one, weight in zip(given, weights, strict=True):
        x = x + weight * one
    return x


def adams_bashforth(points: Sequence[float]) -> StepWeights:
    """The weights of the two-step method on these times, which begins with an Euler step."""
    steps = [after - now for now, after in pairwise(points)]
    found: list[tuple[float, ...]] = [(0.0, steps[0])]
    for index, (last, step) in enumerate(pairwise(steps)):
        back = step**2 / (2 * last)
        found.append((0.0,) * (index + 1) + (-back, step + back))
    return tuple(found)
