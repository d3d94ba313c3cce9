"""Which sampling settings give a run's images at the least arithmetic, for an error that is still allowed.

The error is the root mean square difference, over pixels in [-1, 1] before clipping, to the same images (seeds,
classes, guidance) by a fine reference. Only solvers that draw no noise of their own can be compared so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixelflow.core.spec import SamplingSpec
from pixelflow.costs.planning import costs
from pixelflow.costs.speed import example_values
from pixelflow.generation.draw import draw, mean_nfe
from pixelflow.generation.run import Run
from pixelflow.generation.settings import changed_sampling
from pixelflow.system.errors import UsageError

SAMPLERS = ("euler", "midpoint", "heun", "adams_bashforth2", "dpmpp_2m")
"""Solvers of fixed steps without noise of their own."""
GRIDS: tuple[tuple[str, float | None], ...] = (("uniform", None), ("shifted", 2.0), ("shifted", 0.5))
"""Types, with a shift where they have one."""
REUSES = (1, 2, 3)
"""Guided evaluations that share one null branch."""
REFERENCE = ({"type": "rk4"}, 50)
"""Solver and steps a stage."""
_UNIFORM = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Steps a stage that are tried alike at all stages."""
_BEST = 3
"""Combinations whose steps are then chosen stage by stage."""


@dataclass(frozen=True)
class SolverChoice:
    """A solver, a grid, how long a difference is kept, and steps for each stage."""

    sampler: str
    grid: tuple[str, float | None]
    """Its type, and its shift if it has one."""
    reuse: int
    steps: tuple[int, ...]

    def __str__(self) -> str:
        name, shift = self.grid
        grid = name if shift is None else f"{name} ({shift:g})"
        reused = "" if self.reuse == 1 else f", null branch every {self.reuse}"
        return f"{self.sampler}, {grid} grid, steps {', '.join(map(str, self.steps))}{reused}"


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
        self.stage_macs = [stage.once.macs for stage in costs(run.spec).stages]
        self._known: dict[SolverChoice, TunedSampling] = {}
        sampler, steps = REFERENCE
        self.reference, nfe = self._drawn(self._changed({"sampler": sampler, "grid": "uniform", "steps": steps}))
        self.reference_macs = self._macs(nfe)

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
        return min((self._by_stage(one, error) for one in found[:_BEST]), key=lambda one: one.macs)

    def _uniform(self, error: float) -> Iterator[TunedSampling]:
        """For each combination its first number of steps, alike at all stages, that is within the error.

        A combination is left where it becomes dearer than the cheapest one that is within.
        """
        cheapest, stages = float("inf"), len(self.stage_macs)
        for sampler, grid, reuse in itertools.product(SAMPLERS, GRIDS, self._reuses):
            for steps in _UNIFORM:
                one = self.tried(SolverChoice(sampler, grid, reuse, (steps,) * stages))
                if one.macs > 2 * cheapest:
                    break
                if one.error <= error:
                    cheapest = min(cheapest, one.macs)
                    yield one
                    break

    def _by_stage(self, start: TunedSampling, error: float) -> TunedSampling:
        """Fewer steps of a stage, also for one more of a cheaper stage, as long as it is within the error."""
        best = start
        stages = range(len(self.stage_macs))
        while True:
            better = next((one for one in map(self.tried, _neighbours(best.choice, stages))
                           if one.error <= error and one.macs < best.macs), None)  # fmt: skip
            if better is None:
                return best
            best = better

    @property
    def all(self) -> Sequence[TunedSampling]:
        """All that was tried."""
        return list(self._known.values())

    @property
    def _reuses(self) -> Sequence[int]:
        guidance = self._run.spec.sampling.guidance.build()
        return REUSES if guidance.uses_null and not guidance.uses_weak else REUSES[:1]

    def tried(self, choice: SolverChoice) -> TunedSampling:
        """What a choice gives; drawn once."""
        if choice not in self._known:
            own = self._run.spec.sampling.guidance.model_dump(mode="json")
            guidance = own if choice.reuse == 1 else {"type": "reused", "every": choice.reuse, "guidance": own}
            name, shift = choice.grid
            grid = {"type": name} if shift is None else {"type": name, "shift": shift}
            changes = {"sampler": choice.sampler, "grid": grid, "steps": choice.steps, "guidance": guidance}
            sampling = self._changed(changes)
            images, nfe = self._drawn(sampling)
            error = float((images - self.reference).square().mean().sqrt())
            found = TunedSampling(choice, sampling, error, self._macs(nfe), sum(nfe))
            self._say(f"error {error:.4f}, {found.macs / 1e9:.4g} GMAC an image: {choice}")
            self._known[choice] = found
        return self._known[choice]

    def _changed(self, changes: Mapping[str, object]) -> SamplingSpec:
        return changed_sampling(self._run.spec, changes, source="tune")

    def _drawn(self, sampling: SamplingSpec) -> tuple[Tensor, Sequence[float]]:
        """Images (b c h w) and the evaluations of each, by stage."""
        parts = list(draw(self._run.model, self._run.spec, self._values, self._seeds, sampling=sampling))
        spent = mean_nfe([(len(part.images), part.nfe) for part in parts])
        return torch.cat([part.images for part in parts]), spent

    def _macs(self, nfe: Sequence[float]) -> float:
        return sum(own * spent for own, spent in zip(self.stage_macs, nfe, strict=True))


def _neighbours(choice: SolverChoice, stages: Sequence[int]) -> Iterator[SolverChoice]:
    """Choices with fewer steps at one stage, from the dearest on; with one more at a cheaper stage too."""
    for stage in reversed(stages):
        for fewer in dict.fromkeys([choice.steps[stage] * 2 // 3, choice.steps[stage] - 1]):
            if 0 < fewer < choice.steps[stage]:
                less = _with(choice, stage, fewer)
                yield less
                yield from (_with(less, other, less.steps[other] + 1) for other in stages[:stage])


def _with(choice: SolverChoice, stage: int, steps: int) -> SolverChoice:
    own = list(choice.steps)
    own[stage] = steps
    return replace(choice, steps=tuple(own))
