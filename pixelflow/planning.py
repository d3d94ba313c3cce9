"""What a spec will cost, before anything is allocated: parameters, multiply-accumulates, memory.

Counts are analytic (`Backbone.cost`) or taken from weights on torch's meta device. Evaluations of a sample are
counted by a rehearsal: the spec's own sampler and guidance, on a velocity that costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelflow.core.assembly import build_cascade, build_dataset, build_network, build_plan, resolve
from pixelflow.core.cascade import noise_level
from pixelflow.core.condition import Condition
from pixelflow.core.errors import MissingInputError, UsageError
from pixelflow.core.generate import SeededNoise, WeakModel, generate
from pixelflow.core.interfaces import Backbone, Conditioner, Cost
from pixelflow.core.model import FlowModel
from pixelflow.core.schedule import Stage
from pixelflow.core.spec import ExperimentSpec
from pixelflow.objectives.velocity import VelocityPrediction

FLOP_PER_MAC = 2
_BYTES_KEPT = {"float32": 4.0, "bfloat16": 2.8}
"""Of a number kept for the backward pass; under autocast norms and residuals keep some in float32 (measured)."""
_BYTES_OF_STATE = 4 * 5
"""A parameter in float32, its gradient, Adam's two moments, and its average."""
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
    evaluations: float
    """Of one sample, guidance included."""
    share: float
    """Of the images of a training batch."""

    @property
    def sample_macs(self) -> float:
        return self.evaluations * self.once.macs


@dataclass(frozen=True)
class Costs:
    """What an experiment costs. A MAC is a multiply-accumulate, two floating-point operations (FLOP)."""

    spec: ExperimentSpec
    parameters: int
    trained: int
    """Parameters that are trained."""
    stages: tuple[StageCost, ...]
    is_adaptive: bool
    """Whether the sampler chooses its own steps, so that evaluations are an estimate."""
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
        passes = 4 if training.checkpointing else 3
        return FLOP_PER_MAC * passes * self.forward_macs * training.batch_size * training.steps

    def kept_bytes(self, stage: StageCost) -> float:
        """What one training image keeps for the backward pass; see `Cost.activations`."""
        return stage.once.activations * _BYTES_KEPT[self.spec.training.precision]

    @property
    def activation_bytes(self) -> float:
        """The same for the part of a batch that is computed at a time."""
        training = self.spec.training
        images = training.batch_size / training.accumulation
        return images * sum(stage.share * self.kept_bytes(stage) for stage in self.stages)

    @property
    def state_bytes(self) -> float:
        """Weights, gradients, Adam's moments and the averaged weights."""
        return self.trained * _BYTES_OF_STATE + (self.parameters - self.trained) * 4


def costs(spec: ExperimentSpec) -> Costs:
    """Count everything; only small tensors are allocated.

    Raises:
        SpecError: the spec's parts do not go together.
        UsageError, MissingInputError, DataError: the number of classes is left to data that are not there.
    """
    spec, backbone, conditioners = _on_meta(spec)
    backbone.checkpointing = spec.training.checkpointing
    parts: list[nn.Module] = [backbone, *conditioners]
    parameters = [parameter for part in parts for parameter in part.parameters()]
    context = sum(params.context_tokens for params in spec.conditioners)
    evaluations, is_adaptive = _rehearse(spec)
    cascade = build_cascade(spec)
    mix = spec.objective.stage_mix or (1.0,) * spec.stages
    stages = []
    for stage, patch in zip(cascade.stages, spec.patches, strict=True):
        height, width = cascade.size(stage, *spec.image.size)
        rows, cols = height // patch, width // patch
        cost = backbone.cost(rows, cols, stage.index, context)
        share = mix[stage.index] / sum(mix)
        stages.append(StageCost(stage, height, width, patch, rows * cols, cost, evaluations[stage.index], share))
    return Costs(
        spec=spec,
        parameters=sum(parameter.numel() for parameter in parameters),
        trained=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        stages=tuple(stages),
        is_adaptive=is_adaptive,
        context_tokens=context,
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


def _rehearse(spec: ExperimentSpec) -> tuple[list[float], bool]:
    """Evaluations of each stage of one sample, and whether the solver chooses them itself."""
    plan = build_plan(spec.sampling, spec.stages)
    cascade = build_cascade(spec)
    model = FlowModel(cascade, _Rehearsal(cascade.stages), [], VelocityPrediction(VelocityPrediction.Params()))
    side = max(2**spec.stages // 2, min(2 ** (spec.stages + 1), _LARGEST_REHEARSAL))
    noise = SeededNoise([0], torch.device("cpu"))
    weak = WeakModel(model, Condition())
    _, spent = generate(model, plan, Condition(), Condition(), noise, (1, side, side), weak)
    return spent.by_stage, plan.sampler.is_adaptive


class _Rehearsal(Backbone):
    """The best velocity for pixels that are independent Gaussians, as if a coarser stage lost nothing.

    With x = A y + b n and v = B y + c n it is ``(B C A + b c) / (A C A + b^2) * x``, C the pixels' variance.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__(Backbone.Params())
        self._stages = stages
        self.place = nn.Parameter(torch.zeros(()))

    def forward(
        self, images: Sequence[Tensor], stages: Sequence[int], time: Tensor, condition: Condition
    ) -> list[Tensor]:
        (x,), (index,) = images, stages
        stage = self._stages[index]
        tau = stage.tau(time).view(-1, 1, 1, 1)
        signal, level = tau * stage.end + (1 - tau) * stage.start, noise_level(stage, tau)
        gain, variance = stage.end - stage.start, _PIXEL_SPREAD**2
        return [gain * (variance * signal - level) / (variance * signal**2 + level**2) * x]

    def cost(self, rows: int, cols: int, stage: int, context_tokens: int) -> Cost:
        return Cost(0.0, 0.0, 0.0)
