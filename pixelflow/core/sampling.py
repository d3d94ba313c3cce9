"""Generation: noise at the coarsest stage, integrate, upsample and renoise, again, up to full size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Self

import torch
from torch import Tensor

from pixelflow.core.cascade import Cascade, noise_level
from pixelflow.core.component import Precision
from pixelflow.core.condition import Condition
from pixelflow.core.entering import Entry
from pixelflow.core.interfaces import Grid, Guidance, NoiseSource, Sampler, Upsampler
from pixelflow.core.model import FlowModel
from pixelflow.core.schedule import Stage
from pixelflow.system.errors import UsageError


@dataclass
class NfeCounter:
    """Network evaluations spent, counted per image: a guided evaluation counts as two."""

    by_stage: list[float] = field(default_factory=list)

    @property
    def total(self) -> float:
        return sum(self.by_stage)


@dataclass(frozen=True)
class SamplingPlan:
    """How to integrate: solver, times, guidance, and steps for each stage."""

    sampler: Sampler
    grid: Grid
    guidance: Guidance
    steps: Sequence[int]
    precision: Precision = "float32"
    """Of the network, under autocast where its weights have another; the state stays as it is."""


@dataclass(frozen=True)
class WeakModel:
    """A weaker model of the same cascade, for autoguidance, with the condition as its own conditioners give it."""

    model: FlowModel
    condition: Condition


class SeededNoise:
    """White noise from one seed an image, the same whatever the batch or device."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._device = device

    @classmethod
    def of(cls, generators: Sequence[torch.Generator], device: torch.device) -> Self:
        """From one generator an image; images that share one draw from it in order."""
        noise = cls((), device)
        noise._generators = list(generators)
        return noise

    def white(self, channels: int, height: int, width: int) -> Tensor:
        shape = (channels, height, width)
        drawn = [torch.randn(shape, generator=own, device=own.device) for own in self._generators]
        return torch.stack(drawn).to(self._device, non_blocking=True)  # drawn while the stage before is computed

    def renoising(self, up: Upsampler, channels: int, height: int, width: int) -> Tensor:
        return up.shape_noise(self.white(channels, height, width))


class GivenNoise:
    """Recorded noise, one tensor a stage: white at the start, then the unit-scale renoising noise."""

    def __init__(self, noise: Sequence[Tensor], device: torch.device) -> None:
        self._noise = iter(noise)
        self._device = device

    def white(self, channels: int, height: int, width: int) -> Tensor:
        noise = next(self._noise, None)
        if noise is None:
            raise UsageError("the given noise has fewer tensors than this generation draws")
        if tuple(noise.shape[1:]) != (channels, height, width):
            raise UsageError(
                f"the given noise has shape {tuple(noise.shape)} where (b {channels} {height} {width}) is needed"
            )
        return noise.to(self._device)

    def renoising(self, up: Upsampler, channels: int, height: int, width: int) -> Tensor:
        return self.white(channels, height, width)


class Conditions:
    """What a model's evaluations are asked under, with what they share of it; made when first asked for."""

    def __init__(
        self,
        model: FlowModel,
        condition: Condition,
        null: Condition | None = None,
        precision: Precision = "float32",
    ) -> None:
        self._model, self._condition, self._null = model, condition, null
        is_cast = precision != "float32" and not is_in_16_bits(model)
        self._autocast = partial(torch.autocast, model.device.type, torch.bfloat16, enabled=is_cast)

    @cached_property
    def conditional(self) -> Condition:
        return self._shared(self._condition)

    @cached_property
    def null(self) -> Condition:
        return self._shared(self._null)

    @cached_property
    def pair(self) -> Condition:
        """The null condition of all images, then the other."""
        return self._shared(self._null, self._condition)

    def evaluate(self, x: Tensor, tau: float, stage: Stage, condition: Condition, until: float | None = None) -> Tensor:
        """The model's velocity (b c h w) of the states (b c h w) under one of these conditions; a mean one `until`."""
        times = torch.full((x.shape[0],), tau, device=x.device, dtype=x.dtype)
        later = None if until is None else [torch.full_like(times, until)]
        with self._autocast():
            return self._model.evaluate([x], [stage], [times], condition, later).groups[0]

    def _shared(self, *given: Condition | None) -> Condition:
        """Conditions of all images, one behind the other, with what evaluations share of them."""
        there = [one for one in given if one is not None]
        if len(there) < len(given):
            raise UsageError("this guidance needs a null condition; give uncond_text (and uncond_mask)")
        with self._autocast():
            return self._model.backbone.shared(there[0] if len(there) == 1 else Condition.batched(there))


def is_in_16_bits(model: FlowModel) -> bool:
    """Whether its network's weights are in 16 bits, and it works with them as they are."""
    backbone = model.backbone
    return backbone.runs_in_16_bits and next(backbone.parameters()).dtype == torch.bfloat16


class StageBranches:
    """The evaluations of one stage (see `interfaces.Branches`), counted."""

    def __init__(self, cascade: Cascade, stage: Stage, own: Conditions, weak: Conditions | None = None) -> None:
        self.stage = stage
        self.spent = 0
        self.until: float | None = None
        """A later time up to which all that is asked is a mean velocity; guidance then combines these."""
        self._cascade, self._own, self._weak = cascade, own, weak

    def conditional(self, x: Tensor, tau: float) -> Tensor:
        self.spent += 1
        return self._own.evaluate(x, tau, self.stage, self._own.conditional, self.until)

    def unconditional(self, x: Tensor, tau: float) -> Tensor:
        self.spent += 1
        return self._own.evaluate(x, tau, self.stage, self._own.null, self.until)

    def both(self, x: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        self.spent += 2
        null, conditional = self._own.evaluate(torch.cat([x, x]), tau, self.stage, self._own.pair, self.until).chunk(2)
        return null, conditional

    def weak(self, x: Tensor, tau: float) -> Tensor:
        if self._weak is None:
            raise UsageError("this guidance needs a second, weaker run")
        self.spent += 1
        return self._weak.evaluate(x, tau, self.stage, self._weak.conditional, self.until)

    def clean_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        return self._cascade.clean_estimate(x, velocity, tau, self.stage)

    def velocity_from_clean(self, x: Tensor, clean: Tensor, tau: float) -> Tensor:
        return self._cascade.velocity_from_clean(x, clean, tau, self.stage)


class StageField:
    """A guided velocity with what stochastic samplers ask of it (see `interfaces.Field`)."""

    def __init__(
        self, guidance: Guidance, branches: StageBranches, model: FlowModel, on_step: OnStep | None = None
    ) -> None:
        self._velocity, self._branches = guidance.guide(branches), branches
        self._model, self._stage, self._on_step = model, branches.stage, on_step
        self._last: tuple[Tensor, Tensor, float] | None = None
        self.steps = 0
        """That were handed over."""

    def __call__(self, x: Tensor, tau: float) -> Tensor:
        velocity = self._velocity(x, tau)
        self._last = x, velocity, tau
        return velocity

    def mean(self, x: Tensor, tau: float, until: float) -> Tensor:
        self._branches.until = until
        try:
            return self(x, tau)
        finally:
            self._branches.until = None

    def clean_estimate(self) -> Tensor | None:
        """The clean image that the last velocity implies; None where the operators do not allow to tell it."""
        try:
            return None if self._last is None else self._model.cascade.clean_estimate(*self._last, self._stage)
        except UsageError:
            return None

    def noise_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        return self._model.cascade.noise_estimate(x, velocity, tau, self._stage)

    def noise_level(self, tau: float) -> float:
        return float(noise_level(self._stage, tau))

    def stepped(self, x: Tensor, tau: float) -> Tensor:
        self.steps += 1
        if self._on_step is None or self._last is None:
            return x
        changed = self._on_step(self._stage, tau, x, self._last[1])
        if changed is None or changed is x:
            return x
        if changed.shape != x.shape:
            raise UsageError(f"on_step returned a state of shape {tuple(changed.shape)} in place of {tuple(x.shape)}")
        return changed.to(x)


OnStep = Callable[[Stage, float, Tensor, Tensor], Tensor | None]
"""``on_step(stage, tau, state, velocity)``, called after every step of a solver.

``state`` (b c h w) of a batch, at the stage's resolution, is what the step led to at ``tau``; ``velocity`` likewise is
the last one that was evaluated on the way. Returns the state to go on from, or None for the same; may raise
`StoppedError` to end the generation.
"""


@torch.no_grad()
def generate(
    model: FlowModel,
    plan: SamplingPlan,
    condition: Condition,
    null: Condition | None,
    noise: NoiseSource,
    shape: tuple[int, int, int],
    weak: WeakModel | None = None,
    on_stage: Callable[[Stage, Tensor, Callable[[], Tensor | None]], None] | None = None,
    on_step: OnStep | None = None,
    entry: Entry | None = None,
) -> tuple[Tensor, NfeCounter]:
    """Images (b c h w) before clipping, and the evaluations that they took.

    Args:
        condition, null: of all images: what is asked for, and what guidance leads away from (if it does).
        shape: (c h w) of the finished images.
        on_stage: called with every finished stage, its state, and a function for the clean image it was heading for.
        on_step: called after every step, which it may change; see `OnStep`.
        entry: begin with images at a later stage or time, in place of noise alone; the grid's times are moved closer
            together, into what is left of that stage.

    Raises:
        UsageError: `on_step` returns a state of another shape, or the images do not fit where they enter.
    """
    channels, height, width = shape
    spent = NfeCounter()
    x = torch.empty(0)
    own = Conditions(model, condition, null, plan.precision)
    weaker = None if weak is None else Conditions(weak.model, weak.condition, precision=plan.precision)
    with torch.autocast(model.device.type, enabled=False):  # so that 16-bit weights are cast once, not at each step
        for stage in model.cascade.stages:
            size = model.cascade.size(stage, height, width)
            points = plan.grid.points(plan.steps[stage.index])
            if entry is not None and stage.index < entry.stage:
                spent.by_stage.append(0)
                continue
            if entry is not None and stage.index == entry.stage:
                x = entry.state(model.cascade, noise.white(channels, *size))
                points = [entry.tau + (1 - entry.tau) * point for point in points] if entry.tau else points
            elif stage.index == 0:
                x = noise.white(channels, *size)
            else:
                x = model.cascade.renoise(x, stage, noise.renoising(model.cascade.up, channels, *size))
            branches = StageBranches(model.cascade, stage, own, weaker)
            velocity = StageField(plan.guidance, branches, model, on_step)
            x = plan.sampler.at(stage).integrate(velocity, x, points, partial(noise.white, channels, *size))
            if not velocity.steps:  # a solver that hands over none
                x = velocity.stepped(x, points[-1])
            spent.by_stage.append(branches.spent)
            if on_stage is not None:
                on_stage(stage, x, velocity.clean_estimate)
    return x, spent
