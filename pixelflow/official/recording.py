"""The release's own Dopri5 sampling, operation for operation.

An adaptive solver decides at each step whether its error estimate is below 1. Where that is a close call the last
bit of a float32 decides, so two correct programs soon walk on different steps: on the golden model a change of one
part in 10^7 moves the images by up to 0.02, as far as the tolerance of 1e-3 puts both from the exact solution.
A recording can therefore only be met by repeating the release's arithmetic, its oddities included:

- It integrates two copies of the batch. Both move by the velocity of the first; the second has renoising noise of
  its own and so takes part in the error, to no other effect.
- It evaluates the null half where the weight is 1, too: ``u + 1 * (c - u)`` is not ``c`` to the last bit.
- It stretches the tabulated times, which end at tau = 0.999, over the whole stage.
- It gives tolerances as lists, by which torchdiffeq compares errors in float64.

The ordinary `Dopri5` sampler does none of this, costs half, and is as accurate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pixelflow.core.condition import Condition
from pixelflow.core.model import FlowModel
from pixelflow.core.schedule import Stage
from pixelflow.generation.draw import evaluating
from pixelflow.generation.prompts import condition_for
from pixelflow.generation.run import Run
from pixelflow.guidance.classifier_free import StagewiseGuidance
from pixelflow.samplers.adaptive import AdaptiveSolver
from pixelflow.samplers.dopri5 import Dopri5
from pixelflow.system.errors import UsageError

_TABLE_END = 0.999
"""tau of the last entry in the release's table of times."""


def replayed(run: Run, noise: Sequence[Tensor], asked: Mapping[str, Any]) -> Tensor:
    """See `pixelflow.official.replay`."""
    model = run.model
    drawing = run.prepare(**{"count": len(noise[0]), "sampler": "dopri5", **asked})
    request, count = drawing.request, drawing.request.prompt.count
    sampler, guidance = drawing.sampling.sampler.build(), drawing.sampling.guidance.build()
    if not isinstance(sampler, Dopri5) or not isinstance(guidance, StagewiseGuidance):
        raise UsageError("a recording of the release is for sampler dopri5, guidance stagewise")
    _check_shapes(noise, count, len(model.cascade.stages))
    if request.null is None:
        raise UsageError("the release's Dopri5 needs a null condition; give uncond_text (and uncond_mask)")
    with evaluating(model):
        condition, null = request.prompt.condition(model), condition_for(request.null, model, count)
        pair = Condition.batched([null, condition])
        x = torch.cat([noise[0], noise[0]]).to(model.device)
        for stage, drawn in zip(model.cascade.stages, noise, strict=True):
            if stage.index:
                x = model.cascade.renoise(x, stage, drawn.to(model.device))
            x = _integrated(model, stage, guidance.weight(stage), pair, x, sampler.params)
    return x[:count].cpu()


def _check_shapes(noise: Sequence[Tensor], count: int, stages: int) -> None:
    """Raise UsageError unless `noise` is a recording of `count` images in so many stages, each twice as large."""
    if len(noise) != stages:
        raise UsageError(f"{len(noise)} tensors of noise do not suit {stages} stages")
    rows, channels, height, width = noise[0].shape
    if rows != count:
        raise UsageError(f"noise of {rows} images does not suit {count} of them")
    for index, drawn in enumerate(noise[1:], 1):
        wanted = 2 * rows, channels, height << index, width << index
        if tuple(drawn.shape) != wanted:
            raise UsageError(f"the noise of stage {index} has shape {tuple(drawn.shape)} where {wanted} is needed")


def _integrated(
    model: FlowModel, stage: Stage, weight: float, pair: Condition, x: Tensor, tolerances: AdaptiveSolver.Params
) -> Tensor:
    from torchdiffeq import odeint

    stretched = replace(stage, window=(stage.network_time(0.0), stage.network_time(_TABLE_END)))

    def velocity(tau: Tensor, state: Tensor) -> Tensor:
        half, _ = state.chunk(2)
        doubled = torch.cat([half, half])
        null, conditional = model([doubled], [stretched], [tau.expand(len(doubled))], pair)[0].chunk(2)
        guided = null + weight * (conditional - null)
        return torch.cat([guided, guided])

    ends = torch.tensor([0.0, 1.0], device=x.device)
    given: Tensor = odeint(velocity, x, ends, rtol=[tolerances.rtol], atol=[tolerances.atol], method="dopri5")[-1]
    return given
