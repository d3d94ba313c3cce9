"""What a spec will cost, before anything is allocated: parameters, multiply-accumulates, memory.

Counts are analytic (`Backbone.cost`) or taken from weights on torch's meta device. Evaluations of a sample follow from
the times at which its sampler asks for a velocity and from what the guidance says that it spends there; for a solver
that chooses its own steps from a rehearsal on a velocity that costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from pydantic.main import IncEx
from torch import Tensor, nn

from pixelflow.core.assembly import build_cascade, build_dataset, build_network, build_plan, resolve
from pixelflow.core.block_cache import blocks_left_out
from pixelflow.core.cascade import Cascade, noise_level
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Backbone, Conditioner, Cost, Output, Query
from pixelflow.core.model import FlowModel
from pixelflow.core.sampling import SamplingPlan, SeededNoise, WeakModel, generate
from pixelflow.core.schedule import Stage
from pixelflow.core.spec import ExperimentSpec
from pixelflow.objectives.velocity import VelocityPrediction
from pixelflow.system.errors import MissingInputError, UsageError

T = TypeVar("T")

FLOP_PER_MAC = 2
_BYTES_KEPT = {"float32": 4.0, "bfloat16": 2.3}
"""Of a number kept for the backward pass; under autocast norms keep some in float32 (69 bytes of the 30 numbers of a
block's token and channel on an H100)."""
_ROUNDING = 1e-9
"""Below which a share of images is a whole number."""
_NOTHING = torch.zeros(1, 1, 4, 4)
"""A state, where no state matters."""
_LARGEST_REHEARSAL = 1024
"""Side of the finished image in pixels, which shrinks from 4 at the first stage to 1 before it is exceeded."""
_PIXEL_SPREAD = 0.5
"""Standard deviation of a pixel in [-1, 1], for the rehearsal."""


@dataclass(frozen=True)
class StageCost:
    """What one stage costs."""

    stage: Stage
    height: int
    width: int
    patch: int
    tokens: int
    """Of one image."""
    once: Cost
    """One evaluation of one image."""
    nfe: float
    """Network function evaluations of one sample, guidance included."""
    share: float
    """Of the images of a training batch."""
    left_out: float = 0.0
    """Multiply-accumulates of one sample in blocks that are left out (``sampling.block_cache``)."""

    @property
    def sample_macs(self) -> float:
        return self.nfe * self.once.macs - self.left_out


@dataclass(frozen=True)
class Costs:
    """What an experiment costs. A MAC is a multiply-accumulate, two floating-point operations (FLOP)."""

    spec: ExperimentSpec
    parameters: int
    trained: int
    """Parameters that are trained."""
    blocks: tuple[int, ...]
    """Of these, the parameters of each part of the network that is compiled and sharded on its own."""
    stages: tuple[StageCost, ...]
    is_adaptive: bool
    """Whether the sampler chooses its own steps, so that the NFE is an estimate."""
    context_tokens: int
    """Of one image, the most that its conditioners give."""

    @property
    def evaluation_macs(self) -> float:
        """One evaluation at every stage."""
        return sum(stage.once.macs for stage in self.stages)

    @property
    def sample_macs(self) -> float:
        """One finished image."""
        return sum(stage.sample_macs for stage in self.stages)

    @property
    def forward_macs(self) -> float:
        """The forward pass of one training image, in the mean over the stage mix."""
        return sum(stage.share * stage.once.macs for stage in self.stages)

    @property
    def training_flop(self) -> float:
        """The whole training: a backward pass costs two forward passes, recomputation one more."""
        training = self.spec.training
        passes = 4 if training.activation_checkpointing else 3
        return FLOP_PER_MAC * passes * self.forward_macs * training.batch_size * training.steps

    def kept_bytes(self, stage: StageCost) -> float:
        """What one training image keeps for the backward pass; see `Cost.activations`."""
        return stage.once.activations * _BYTES_KEPT[self.spec.training.precision]

    def activation_bytes(self, images: int) -> float:
        """The same for so many images at a time, of those steps in which the costliest stages have the most of them."""
        left, kept = images, 0.0
        for stage in sorted(self.stages, key=self.kept_bytes, reverse=True):
            own = min(left, math.ceil(images * stage.share - _ROUNDING))
            left -= own
            kept += own * self.kept_bytes(stage)
        return kept


def costs(spec: ExperimentSpec) -> Costs:
    """Count everything; only small tensors are allocated.

    Raises:
        SpecError: the spec's parts do not go together.
        UsageError, MissingInputError, DataError: the number of classes is left to data that are not there.
    """
    return Counting().costs(spec)


class Counting:
    """Counts the costs of many specs, and what they have in common once."""

    def __init__(self) -> None:
        self._networks: dict[str, _Network] = {}
        self._times: dict[str, list[list[float]]] = {}

    def costs(self, spec: ExperimentSpec) -> Costs:
        """See `costs`."""
        network = _once(self._networks, _network, spec, _OF_NETWORK)
        cascade, plan = network.cascade, build_plan(spec.sampling, spec.stages)
        if plan.sampler.is_adaptive:
            nfe, asked = _rehearse(plan, cascade), None  # how often guidance is asked is not known
        else:
            times = _once(self._times, lambda _: _asked(plan, cascade), spec, _OF_TIMES)
            asked = len(times[-1])
            nfe = [plan.guidance.nfe_over(stage, own) for stage, own in zip(cascade.stages, times, strict=True)]
        mix = spec.objective.stage_mix or (1.0,) * len(cascade.stages)
        stages = []
        for stage, patch in zip(cascade.stages, spec.patches, strict=True):
            height, width = cascade.size(stage, *spec.image.size)
            rows, cols = height // patch, width // patch
            network.backbone.activation_checkpointing = spec.training.activation_checkpointing
            cost = network.backbone.cost(rows, cols, stage.index, network.context_tokens)
            share = mix[stage.index] / sum(mix)
            left_out, cache = 0.0, spec.sampling.block_cache
            if stage.is_last and cache is not None and asked is not None:
                left_out = blocks_left_out(network.backbone, cache, nfe[-1], asked)
                left_out *= network.backbone.block_macs(rows, cols, network.context_tokens)
            own = StageCost(stage, height, width, patch, rows * cols, cost, nfe[stage.index], share, left_out)
            stages.append(own)
        return Costs(
            spec=spec.model_copy(update={"conditioners": network.conditioners}),
            parameters=network.parameters,
            trained=network.trained,
            blocks=network.blocks,
            stages=tuple(stages),
            is_adaptive=plan.sampler.is_adaptive,
            context_tokens=network.context_tokens,
        )


_OF_NETWORK: IncEx = {"image", "data", "cascade", "backbone", "conditioners"}
_OF_TIMES: dict[str, IncEx | bool] = {"image": True, "cascade": True, "sampling": {"sampler", "grid", "steps"}}
"""The parts of a spec on which each depends, as pydantic takes them."""


def _once(known: dict[str, T], count: Callable[[ExperimentSpec], T], spec: ExperimentSpec, parts: IncEx) -> T:
    """What `count` says of a spec, asked once for all specs that are equal in these parts."""
    key = spec.model_dump_json(include=parts)
    if key not in known:
        known[key] = count(spec)
    return known[key]


@dataclass(frozen=True)
class _Network:
    """What is counted in weights."""

    cascade: Cascade
    backbone: Backbone
    conditioners: tuple[Conditioner.Params, ...]
    """Resolved."""
    parameters: int
    trained: int
    blocks: tuple[int, ...]
    context_tokens: int


def _network(spec: ExperimentSpec) -> _Network:
    spec, backbone, conditioners = _on_meta(spec)
    parts: list[nn.Module] = [backbone, *conditioners]
    parameters = [parameter for part in parts for parameter in part.parameters()]
    return _Network(
        cascade=build_cascade(spec),
        backbone=backbone,
        conditioners=spec.conditioners,
        parameters=sum(parameter.numel() for parameter in parameters),
        trained=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        blocks=tuple(sum(one.numel() for one in part.parameters()) for part in backbone.compiled_parts),
        context_tokens=sum(params.context_tokens for params in spec.conditioners),
    )


def _on_meta(spec: ExperimentSpec) -> tuple[ExperimentSpec, Backbone, list[Conditioner]]:
    """The network without memory; the data are opened only where the spec leaves something to them."""
    try:
        with torch.device("meta"):
            return spec, *build_network(spec)
    except UsageError as unresolved:
        try:
            resolved = resolve(spec, build_dataset(spec))
        except MissingInputError as absent:
            raise MissingInputError(f"{unresolved}, and {absent}") from None
    with torch.device("meta"):
        return resolved, *build_network(resolved)


def _asked(plan: SamplingPlan, cascade: Cascade) -> list[list[float]]:
    """The times at which a fixed-step sampler asks for a velocity, by stage: they do not depend on what it is given."""
    asked = []
    for stage, steps in zip(cascade.stages, plan.steps, strict=True):
        field = _AskedField(stage)
        plan.sampler.at(stage).integrate(field, _NOTHING, plan.grid.points(steps), lambda: _NOTHING)
        asked.append(field.times)
    return asked


class _AskedField:
    """A velocity of 0 (a `Field`) that remembers when it was asked for."""

    def __init__(self, stage: Stage) -> None:
        self.times: list[float] = []
        self._stage = stage

    def __call__(self, x: Tensor, tau: float) -> Tensor:
        self.times.append(tau)
        return _NOTHING

    def mean(self, x: Tensor, tau: float, until: float) -> Tensor:
        return self(x, tau)

    def noise_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        return _NOTHING

    def noise_level(self, tau: float) -> float:
        return float(noise_level(self._stage, tau))

    def stepped(self, x: Tensor, tau: float) -> Tensor:
        return x


def _rehearse(plan: SamplingPlan, cascade: Cascade) -> list[float]:
    """Evaluations of each stage of one sample, by a solver that chooses its own steps."""
    model = FlowModel(cascade, _Rehearsal(cascade.stages), [], VelocityPrediction(VelocityPrediction.Params()))
    count = len(cascade.stages)
    side = max(2**count // 2, min(2 ** (count + 1), _LARGEST_REHEARSAL))
    noise = SeededNoise([0], torch.device("cpu"))
    weak = WeakModel(model, Condition())
    return list(generate(model, plan, Condition(), Condition(), noise, (1, side, side), weak)[1].by_stage)


class _Rehearsal(Backbone):
    """The best velocity for pixels that are independent Gaussians, as if a coarser stage lost nothing.

    With x = A y + b n and v = B y + c n it is ``(B C A + b c) / (A C A + b^2) * x``, C the pixels' variance.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__(Backbone.Params())
        self._stages = stages
        self.place = nn.Parameter(torch.zeros(()))

    def forward(self, query: Query) -> Output:
        (x,), (index,) = query.images, query.stages
        stage = self._stages[index]
        tau = stage.tau(query.time).view(-1, 1, 1, 1)
        signal, level = tau * stage.end + (1 - tau) * stage.start, noise_level(stage, tau)
        gain, variance = stage.end - stage.start, _PIXEL_SPREAD**2
        return Output([gain * (variance * signal - level) / (variance * signal**2 + level**2) * x])

    def cost(self, rows: int, cols: int, stage: int, context_tokens: int) -> Cost:
        return Cost(0.0, 0.0, 0.0)
