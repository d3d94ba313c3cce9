"""Images from a model, batch by batch, each from its own seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixelflow.core.assembly import build_plan
from pixelflow.core.condition import Condition
from pixelflow.core.errors import UsageError
from pixelflow.core.generate import SeededNoise, WeakModel, generate
from pixelflow.core.interfaces import NoiseSource
from pixelflow.core.model import FlowModel
from pixelflow.core.schedule import Stage
from pixelflow.core.spec import ExperimentSpec, SamplingSpec


@dataclass(frozen=True)
class Drawn:
    """One batch of generated images, on the CPU."""

    images: Tensor
    """(b c h w), before clipping to [-1, 1]"""
    stages: list[Tensor]
    """Final state of each stage (b c h_s w_s), coarse to fine, at the images' brightness; empty unless asked for."""
    evaluations: list[float]
    """Network evaluations that each image took, by stage; a guided one counts as two."""


@dataclass(frozen=True)
class Conditions:
    """What the images of one batch are conditioned on."""

    asked: Condition
    null: Condition | None
    """What guidance leads away from; None where it is not known."""
    weak: WeakModel | None = None
    """The weaker model of autoguidance."""


def draw(
    model: FlowModel,
    spec: ExperimentSpec,
    values: Mapping[str, Sequence[Any]],
    seeds: Sequence[int],
    *,
    sampling: SamplingSpec | None = None,
    keep_stages: bool = False,
    weak: FlowModel | None = None,
) -> Iterator[Drawn]:
    """Images in batches of ``sampling.batch_size``, in the order of the seeds.

    An image depends on its own seed and condition, not on the batch it is drawn in, up to the rounding of
    matrix products. Adaptive solvers are the exception: they choose their steps by the whole batch's error.

    Args:
        values: field ("label", "caption") -> one value an image.
        seeds: one an image.
        sampling: in place of the spec's own.
        keep_stages: also keep the final state of every stage.
        weak: a weaker model of the same cascade, for autoguidance.

    Raises:
        UsageError: as many values as images are needed; a value that a conditioner does not know.
    """
    sampling = sampling or spec.sampling
    _check_lengths(model, values, len(seeds))
    for part in batches(len(seeds), sampling.batch_size):
        own = {field: column[part] for field, column in values.items()}
        with evaluating(model, weak):
            conditions = conditions_of(model, own, len(seeds[part]), weak)
        noise = SeededNoise(seeds[part], model.device)
        yield draw_batch(model, spec, sampling, conditions, noise, keep_stages)


def draw_batch(
    model: FlowModel,
    spec: ExperimentSpec,
    sampling: SamplingSpec,
    conditions: Conditions,
    noise: NoiseSource,
    keep_stages: bool = False,
) -> Drawn:
    """One batch of images from given conditions and noise; see `draw`."""
    kept: list[Tensor] = []
    down = model.cascade.down

    def keep(stage: Stage, state: Tensor) -> None:
        kept.append((state / down.brightness**stage.halvings).cpu())

    weak = conditions.weak
    with evaluating(model, weak.model if weak else None):
        images, spent = generate(
            model,
            build_plan(sampling, spec.stages),
            conditions.asked,
            conditions.null,
            noise,
            (spec.image.channels, *spec.image.size),
            weak,
            keep if keep_stages else None,
        )
    return Drawn(images.cpu(), kept, spent.by_stage)


def conditions_of(
    model: FlowModel, values: Mapping[str, Sequence[Any]], count: int, weak: FlowModel | None = None
) -> Conditions:
    """Conditions of `count` images from raw labels and captions.

    Raises:
        UsageError: a value that a conditioner does not know, or a weaker model of another cascade.
    """
    asked = model.condition(model.prepare(values))
    null = model.condition(model.null(1)).at(torch.zeros(count, dtype=torch.long, device=model.device))
    return Conditions(asked, null, weak_model(model, weak, values) if weak else None)


def weak_model(model: FlowModel, weak: FlowModel, values: Mapping[str, Sequence[Any]]) -> WeakModel:
    """The weaker model with its own conditioners' reading of the same values."""
    if weak.cascade.stages != model.cascade.stages:
        raise UsageError("the weaker run has another cascade; autoguidance needs one of the same stages and operators")
    return WeakModel(weak, weak.condition(weak.prepare(values)))


def batches(count: int, size: int) -> list[slice]:
    """`count` images in slices of at most `size`."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


@contextmanager
def evaluating(*models: FlowModel | None) -> Iterator[None]:
    """No gradients, and the models in evaluation mode; afterwards as they were."""
    present = [model for model in models if model is not None]
    modes = [(module, module.training) for model in present for module in model.modules()]
    for model in present:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _check_lengths(model: FlowModel, values: Mapping[str, Sequence[Any]], count: int) -> None:
    for field in sorted({conditioner.reads for conditioner in model.conditioners}):
        if len(values.get(field, ())) != count:
            raise UsageError(f"{count} images need {count} {field}s, not {len(values.get(field, ()))}")
