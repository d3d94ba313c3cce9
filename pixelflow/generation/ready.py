"""A model made ready for a whole drawing: its weights cast once, its blocks compiled where that pays."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pixelflow.core import compiling
from pixelflow.core.interfaces import Backbone
from pixelflow.core.model import FlowModel
from pixelflow.core.sampling import SamplingPlan
from pixelflow.core.spec import SamplingSpec


def ready(model: FlowModel, sampling: SamplingSpec, flop: float) -> FlowModel:
    """The model, or a copy that shares what it can with it, for the network evaluations of a drawing.

    With ``precision: bfloat16`` the copy's network has weights of 16 bits and needs no autocast, where it can do
    without; the conditioners stay as they are. The model itself is left alone: threads may share it, and it may train.

    Args:
        flop: floating-point operations of all evaluations, by which ``compile: auto`` decides.
    """
    is_half = sampling.precision == "bfloat16" and model.backbone.runs_in_16_bits and _is_plain(model.backbone)
    is_compiled = compiling.pays(sampling.compile, flop, model.device)
    if not (is_half or is_compiled):
        return model
    backbone = _copied(model.backbone, torch.bfloat16 if is_half else None)
    if is_compiled:
        compiling.compile_parts(backbone)
    own = FlowModel(model.cascade, backbone, model.conditioners, model.prediction)
    own.training = model.training
    return own


def _is_plain(module: nn.Module) -> bool:
    """Whether its weights are whole tensors of this process, and in float32."""
    return all(type(one.data) is Tensor and one.dtype == torch.float32 for one in module.parameters())


def _copied(backbone: Backbone, dtype: torch.dtype | None) -> Backbone:
    """Modules of its own around the same weights, or around these cast."""
    same: Sequence[Tensor] = [*backbone.parameters(), *backbone.buffers()]
    kept = {id(one): one if dtype is None else _cast(one, dtype) for one in same}
    return copy.deepcopy(backbone, kept)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    own = tensor.detach().to(dtype) if tensor.is_floating_point() else tensor
    return nn.Parameter(own, requires_grad=False) if isinstance(tensor, nn.Parameter) else own


def flop(
    model: FlowModel, plan: SamplingPlan, shape: tuple[int, int, int], patches: Sequence[int], count: int
) -> float:
    """Floating-point operations of the evaluations of `count` images (c h w) by a fixed-step solver, text left out."""
    total, cascade = 0.0, model.cascade
    for stage in cascade.stages:
        height, width = cascade.size(stage, *shape[1:])
        patch = patches[stage.index]
        points = plan.grid.points(plan.steps[stage.index])[:-1]
        spent = plan.guidance.nfe_over(stage, points) * plan.sampler.nfe_per_step
        if not math.isnan(spent):  # adaptive solvers do not know theirs before
            total += spent * model.backbone.cost(height // patch, width // patch, stage.index, 0).macs
    return 2 * total * count
