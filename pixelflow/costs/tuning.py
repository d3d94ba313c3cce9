"""Which sampling settings give a run's images at the least arithmetic, for an error that is still allowed.

The error is the root mean square difference, over pixels in [-1, 1] before clipping, to the same images (seeds,
classes, guidance) by a fine reference. Only solvers that draw no noise of their own can be compared so. What was
fitted to some of the images is measured on the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixelflow.core.sampling import OnStep
from pixelflow.core.spec import SamplingSpec
from pixelflow.costs.fitting import ReferencePath, fitted_settings
from pixelflow.costs.planning import Counting
from pixelflow.costs.speed import example_values
from pixelflow.generation.draw import draw_request, requested
from pixelflow.generation.run import Run
from pixelflow.generation.settings import changed_sampling
from pixelflow.system.errors import UsageError

FITTED = "fitted"
SAMPLERS = (FITTED, "adams_bashforth2", "dpmpp_2m", "midpoint", "heun", "euler")
"""Solvers of fixed steps without noise of their own; first those that mostly need least, so that others end early."""
GRIDS: tuple[tuple[str, float | None], ...] = (("uniform", None), ("shifted", 2.0), ("shifted", 0.5))
"""Types, with a shift where they have one."""


@dataclass(frozen=True)
class Reuse:
    """How long a difference of both branches is kept."""

    every: int | tuple[int, ...] = 1
    """Guided evaluations that share one null branch, at all stages or at each."""
    is_extrapolated: bool = False

    def __str__(self) -> str:
        if self.every == 1:
            return ""
        every = self.every if isinstance(self.every, int) else ", ".join(map(str, self.every))
        return f", null branch every {every}" + (", extrapolated" if self.is_extrapolated else "")

    def longer(self, stage: int, stages: int) -> Reuse:
        """The same, kept half as long again at one stage."""
        every = [self.every] * stages if isinstance(self.every, int) else list(self.every)
        every[stage] += -(-every[stage] // 2)
        return replace(self, every=tuple(every))


REUSES = (Reuse(), Reuse(2, is_extrapolated=True), Reuse(2), Reuse(3, is_extrapolated=True), Reuse(3), Reuse(6))
REFERENCE = ({"type": "rk4"}, 50)
"""Solver and steps a stage."""
_UNIFORM = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Steps a stage that are tried alike at all stages."""
_MOST_FITTED = 16
"""Steps a stage beyond which nothing is fitted: each has as many weights as were before it."""
_BLOCK_CACHE = {"every": 2, "share": 0.5}
_BEST = 3
"""Combinations whose steps are then chosen stage by stage."""


@dataclass(frozen=True)
class SolverChoice:
    """A solver, a grid, how long a difference is kept, and steps for each stage."""

    sampler: str
    grid: tuple[str, float | None]
    """Its type, and its shift if it has one."""
    reuse: Reuse
    steps: tuple[int, ...]
    has_block_cache: bool = False

    def __str__(self) -> str:
        name, shift = self.grid
        grid = name if shift is None else f"{name} ({shift:g})"
        cached = ", half of the blocks left out at every second evaluation" if self.has_block_cache else ""
        return f"{self.sampler}, {grid} grid, steps {', '.join(map(str, self.steps))}{self.reuse}{cached}"


@dataclass(frozen=True)
class TunedSampling:
    """A choice with what it costs, and how far its images lie from the reference."""

    choice: SolverChoice
    sampling: SamplingSpec
    error: float
    macs: float
    """Multiply-accumulates of one image."""
    nfe: float


class Tuner:
    """Draws the same images by many settings, beside a reference that is drawn first."""

    def __init__(self, run: Run, images: int, say: Callable[[str], None]) -> None:
        self._run, self._say = run, say
        self._seeds = range(images)
        self._values = example_values(run.model, len(run.labels), images)
        self._counting = Counting()
        self._known: dict[SolverChoice, TunedSampling] = {}
        self._fitted_on = min(images // 2, run.spec.sampling.batch_size)
        self._path = ReferencePath(self._fitted_on)
        sampler, steps = REFERENCE
        sampling = self._changed({"sampler": sampler, "grid": "uniform", "steps": steps})
        self.reference, self.reference_macs = self._drawn(sampling, self._path.keep), self._cost(sampling)[0]

    def best(self, error: float) -> TunedSampling:
        """The choice of least arithmetic within the error.

        Raises:
            UsageError: none is within it.
        """
        found = sorted(self._uniform(error), key=lambda one: one.macs)
        if not found:
            raise UsageError(
                f"nothing with up to {_UNIFORM[-1]} steps a stage comes within {error:g} of the reference; allow more"
            )
        best = min((self._by_stage(one, error) for one in found[:_BEST]), key=lambda one: one.macs)
        return self._with_blocks_left_out(best, error)

    def _uniform(self, error: float) -> Iterator[TunedSampling]:
        """For each combination its first number of steps, alike at all stages, that is within the error.

        A combination is left where it becomes dearer than twice the cheapest one that is within. Where the null branch
        is reused, no fewer steps are tried than without, and nothing where that was left.
        """
        cheapest = float("inf")
        for sampler, grid in itertools.product(self._samplers, GRIDS):
            least = 1
            for reuse in self._reuses:
                found = self._first_within(error, 2 * cheapest, sampler, grid, reuse, least)
                if found is None:
                    break
                cheapest, least = min(cheapest, found.macs), found.choice.steps[0]
                yield found

    def _first_within(
        self, error: float, most: float, sampler: str, grid: tuple[str, float | None], reuse: Reuse, least: int
    ) -> TunedSampling | None:
        """The first number of steps, alike at all stages and at least so many, within the error and the arithmetic."""
        for steps in _UNIFORM:
            choice = SolverChoice(sampler, grid, reuse, (steps,) * len(self._run.model.cascade.stages))
            if steps < least or (sampler == FITTED and steps > _MOST_FITTED):
                continue
            if self.macs(choice) > most:
                return None
            if (one := self.tried(choice)).error <= error:
                return one
        return None

    def _by_stage(self, start: TunedSampling, error: float) -> TunedSampling:
        """Fewer evaluations of a stage, also for a step more of a cheaper stage, as long as it is within the error."""
        best, is_guided = start, len(self._reuses) > 1
        stages = range(len(self._run.model.cascade.stages))
        while True:
            cheaper = (own for own in _neighbours(best.choice, stages, is_guided) if self.macs(own) < best.macs)
            better = next((one for one in map(self.tried, cheaper) if one.error <= error), None)
            if better is None:
                return best
            best = better

    def _with_blocks_left_out(self, best: TunedSampling, error: float) -> TunedSampling:
        """The best, or one that is dearer and more exact than it, with blocks left out, should that come cheaper."""
        if not self._run.model.backbone.residual_blocks[1]:
            return best
        within = [replace(one.choice, has_block_cache=True) for one in self.all if one.error <= error]
        cheaper = sorted((own for own in within if self.macs(own) < best.macs), key=self.macs)
        return next((one for one in map(self.tried, cheaper) if one.error <= error), best)

    @property
    def all(self) -> Sequence[TunedSampling]:
        """All that was tried."""
        return list(self._known.values())

    @property
    def _samplers(self) -> Sequence[str]:
        return [one for one in SAMPLERS if one != FITTED or self._fitted_on]

    @property
    def _reuses(self) -> Sequence[Reuse]:
        guidance = self._run.spec.sampling.guidance.build()
        return REUSES if guidance.uses_null and not guidance.uses_weak else REUSES[:1]

    def tried(self, choice: SolverChoice) -> TunedSampling:
        """What a choice gives; drawn once."""
        if choice not in self._known:
            sampling, measured = self._sampling(choice), slice(0, None)
            if choice.sampler == FITTED:
                own, measured = slice(self._fitted_on), slice(self._fitted_on, None)
                values = {name: column[own] for name, column in self._values.items()}
                settings = fitted_settings(self._run, sampling, values, self._seeds[own], self._path)
                sampling = self._changed({"sampler": settings}, sampling)
            images = self._drawn(sampling)
            error = float((images - self.reference)[measured].square().mean().sqrt())
            found = TunedSampling(choice, sampling, error, *self._cost(sampling))
            self._say(f"error {error:.4f}, {found.macs / 1e9:.4g} GMAC an image: {choice}")
            self._known[choice] = found
        return self._known[choice]

    def macs(self, choice: SolverChoice) -> float:
        """Multiply-accumulates of one image, without drawing any."""
        return self._cost(self._sampling(choice))[0]

    def _sampling(self, choice: SolverChoice) -> SamplingSpec:
        """The settings of a choice; what is fitted is not yet."""
        own, reuse, (name, shift) = self._run.spec.sampling.guidance.model_dump(mode="json"), choice.reuse, choice.grid
        reused = {"type": "reused", "every": reuse.every, "extrapolated": reuse.is_extrapolated, "guidance": own}
        changes: dict[str, object] = {
            "sampler": choice.sampler,
            "grid": {"type": name} if shift is None else {"type": name, "shift": shift},
            "steps": choice.steps,
            "guidance": own if reuse.every == 1 else reused,
        }
        if choice.has_block_cache:
            changes["block_cache"] = _BLOCK_CACHE
        return self._changed(changes)

    def _changed(self, changes: Mapping[str, object], sampling: SamplingSpec | None = None) -> SamplingSpec:
        spec = self._run.spec
        if sampling is not None:
            spec = spec.model_copy(update={"sampling": sampling})
        return changed_sampling(spec, changes, source="tune")

    def _drawn(self, sampling: SamplingSpec, on_step: OnStep | None = None) -> Tensor:
        """Images (b c h w)."""
        run = self._run
        request = requested(run.model, run.spec, self._values, self._seeds)
        return torch.cat([part.images for part in draw_request(run.model, request, sampling, on_step=on_step)])

    def _cost(self, sampling: SamplingSpec) -> tuple[float, float]:
        """Multiply-accumulates and evaluations of one image."""
        found = self._counting.costs(self._run.spec.model_copy(update={"sampling": sampling}))
        return found.sample_macs, sum(stage.nfe for stage in found.stages)


def _neighbours(choice: SolverChoice, stages: Sequence[int], is_guided: bool) -> Iterator[SolverChoice]:
    """Choices with fewer steps at one stage, from the dearest on, also with one more at a cheaper; or longer reuse."""
    for stage in reversed(stages):
        for fewer in dict.fromkeys([choice.steps[stage] * 2 // 3, choice.steps[stage] - 1]):
            if 0 < fewer < choice.steps[stage]:
                less = _with(choice, stage, fewer)
                yield less
                yield from (_with(less, other, less.steps[other] + 1) for other in stages[:stage])
        if is_guided:
            yield replace(choice, reuse=choice.reuse.longer(stage, len(stages)))


def _with(choice: SolverChoice, stage: int, steps: int) -> SolverChoice:
    own = list(choice.steps)
    own[stage] = steps
    return replace(choice, steps=tuple(own))
