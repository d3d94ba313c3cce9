"""A model made ready for a whole drawing: its weights cast once, its blocks compiled and replayed where that pays."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pixelflow.core import compiling, float8, graphs
from pixelflow.core.block_cache import leave_out
from pixelflow.core.interfaces import Backbone
from pixelflow.core.model import FlowModel
from pixelflow.core.sampling import SamplingPlan
from pixelflow.core.spec import SamplingSpec


class Flop(NamedTuple):
    """Floating-point operations of a drawing, text left out; 0 stands for what is not known."""

    whole: float = 0.0
    """Of all evaluations, by which ``compile: auto`` decides."""
    largest: float = 0.0
    """Of an evaluation of a batch at the last stage, by which ``cuda_graphs: auto`` does."""


def ready(model: FlowModel, sampling: SamplingSpec, flop: Flop) -> FlowModel:
    """The model, or a copy that shares what it can with it, for the network evaluations of a drawing.

    With ``precision: bfloat16`` the copy's network has weights of 16 bits and needs no autocast, where it can do
    without; the conditioners stay as they are. The model itself is left alone: threads may share it, and it may train.

    Raises:
        UsageError: the device or the backbone cannot work in the precision that is asked for.
        MissingDependencyError: what that precision needs is not installed.
    """
    own, is_in_8_bits = model.backbone, sampling.precision == "float8"
    is_half = sampling.precision != "float32" and own.runs_in_16_bits and _is_plain(own)
    is_compiled = compiling.pays(sampling.compile, flop.whole, model.device)
    is_cached = sampling.block_cache is not None  # what is computed then differs from one evaluation to the next
    is_replayed = sampling.cuda_graphs and not is_cached and graphs.wanted(sampling.cuda_graphs, own, flop.largest)
    if not (is_half or is_in_8_bits or is_compiled or is_replayed or is_cached):
        return model
    backbone = _copied(own, torch.bfloat16 if is_half else None)
    if is_in_8_bits:
        float8.convert(backbone)
    if is_compiled:
        compiling.compile_parts(backbone)
    if sampling.block_cache is not None:
        leave_out(backbone, sampling.block_cache, len(model.cascade.stages))
    if is_replayed:
        backbone.forward = graphs.Replayed(backbone)  # type: ignore[method-assign]
    made = FlowModel(model.cascade, backbone, model.conditioners, model.prediction)
    made.training = model.training
    return made


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
    model: FlowModel, plan: SamplingPlan, shape: tuple[int, int, int], patches: Sequence[int], count: int, batch: int
) -> Flop:
    """What `count` images (c h w) take by a fixed-step solver, `batch` of them at a time."""
    whole, macs, cascade = 0.0, 0.0, model.cascade
    for stage in cascade.stages:
        height, width = cascade.size(stage, *shape[1:])
        patch = patches[stage.index]
        points = plan.grid.points(plan.steps[stage.index])[:-1]
        spent = plan.guidance.nfe_over(stage, points) * plan.sampler.nfe_per_step
        macs = model.backbone.cost(height // patch, width // patch, stage.index, 0).macs
        if not math.isnan(spent):  # adaptive solvers do not know theirs before
            whole += spent * macs
    return Flop(2 * whole * count, 2 * macs * batch)
