"""Images from a model, batch by batch, each from its own seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pixelflow.core.assembly import build_plan
from pixelflow.core.interfaces import NoiseSource
from pixelflow.core.model import FlowModel
from pixelflow.core.sampling import OnStep, SeededNoise, WeakModel, generate
from pixelflow.core.schedule import Stage
from pixelflow.core.sizes import Size
from pixelflow.core.spec import ExperimentSpec, SamplingSpec
from pixelflow.generation.editing import Edits
from pixelflow.generation.prompts import Prompt, condition_for
from pixelflow.generation.ready import flop, ready
from pixelflow.generation.settings import checked_size
from pixelflow.generation.weaker import Weaker
from pixelflow.system.errors import UsageError
from pixelflow.system.memory import memory_for
from pixelflow.system.parallel import Parallel


@dataclass(frozen=True)
class Drawn:
    """One batch of generated images, on the CPU."""

    images: Tensor
    """(b c h w), before clipping to [-1, 1]"""
    stages: list[Tensor]
    """Final state of each stage (b c h_s w_s), coarse to fine, at the images' brightness; empty unless asked for."""
    nfe: list[float]
    """Network function evaluations that each image took, by stage; a guided one counts as two."""
    clean: list[Tensor] = field(default_factory=list)
    """The clean image that each stage was last heading for, as `stages`; empty where that cannot be told."""


def mean_nfe(batches: Sequence[tuple[int, Sequence[float]]]) -> tuple[float, ...]:
    """Network function evaluations an image, by stage: the mean over batches, in which adaptive solvers differ.

    Args:
        batches: number of images and their `Drawn.nfe`, of each batch.
    """
    total = sum(count for count, _ in batches)
    by_stage = zip(*([count * spent for spent in nfe] for count, nfe in batches), strict=True)
    return tuple(sum(stage) / total for stage in by_stage)


@dataclass(frozen=True)
class Request:
    """Images to draw."""

    prompt: Prompt
    shape: tuple[int, int, int]
    """(c h w) of an image."""
    patches: Sequence[int]
    """Patch size of each stage."""
    noise: Callable[[slice], NoiseSource]
    """The noise of some of the images."""
    null: Prompt | None
    """What guidance leads away from; of one image or of all; None where it is not known."""
    weak: Weaker | None = None
    """The weaker model of autoguidance."""
    edits: Edits | None = None
    """What the images are made from, in place of noise alone."""


def draw(
    model: FlowModel,
    spec: ExperimentSpec,
    values: Mapping[str, Sequence[object]],
    seeds: Sequence[int],
    *,
    sampling: SamplingSpec | None = None,
    keep_stages: bool = False,
    weak: Weaker | None = None,
    null_values: Mapping[str, Sequence[object]] | None = None,
    size: Size | None = None,
    edits: Edits | None = None,
    first: int = 0,
    parallel: Parallel | None = None,
) -> Iterator[Drawn]:
    """Images in batches of ``sampling.batch_size``, in the order of the seeds.

    An image depends on its own seed and condition, not on the batch it is drawn in, up to the rounding of
    matrix products. Adaptive solvers are the exception: they choose their steps by the whole batch's error.

    Args:
        values: field -> one value an image (see `pixelflow.core.fields`); a field left out means no condition.
        seeds: one an image.
        sampling: in place of the spec's own.
        keep_stages: also keep the final state of every stage.
        weak: a weaker model of the same cascade, for autoguidance.
        null_values: what guidance leads away from, likewise; by default no condition.
        size: height and width, in place of the spec's.
        edits: what the images are made from, in place of noise alone.
        first: where to begin, if those before were drawn already.
        parallel: processes that all draw some; the images come to the first.

    Raises:
        UsageError: there are not as many values as seeds, or a value that a conditioner does not know; or a size
            that cannot be cut into patches.
        OutOfMemoryError: a batch does not fit into memory.
    """
    request = requested(model, spec, values, seeds, weak=weak, null_values=null_values, size=size, edits=edits)
    return draw_request(model, request, sampling or spec.sampling, keep_stages, first=first, parallel=parallel)


def requested(
    model: FlowModel,
    spec: ExperimentSpec,
    values: Mapping[str, Sequence[object]],
    seeds: Sequence[int],
    *,
    weak: Weaker | None = None,
    null_values: Mapping[str, Sequence[object]] | None = None,
    size: Size | None = None,
    edits: Edits | None = None,
) -> Request:
    """What `draw` draws; raises UsageError as it does."""
    height, width = spec.image.size if size is None else checked_size(spec, size)
    return Request(
        prompt=Prompt(len(seeds), values),
        shape=(spec.image.channels, height, width),
        patches=spec.patches,
        noise=lambda rows: SeededNoise(seeds[rows], model.device),
        null=Prompt(len(seeds), null_values) if null_values else Prompt(1),
        weak=weak,
        edits=edits,
    )


def draw_request(
    model: FlowModel,
    request: Request,
    sampling: SamplingSpec,
    keep_stages: bool = False,
    on_step: OnStep | None = None,
    first: int = 0,
    parallel: Parallel | None = None,
) -> Iterator[Drawn]:
    """What was requested, in batches of ``sampling.batch_size``; see `draw`.

    Args:
        on_step: called after every step of every batch; see `pixelflow.core.sampling.OnStep`.
        parallel: processes that all draw some; the images come to the first.

    Raises:
        UsageError: the weaker model has another cascade, or the device cannot work in the precision that is asked for.
        OutOfMemoryError: a batch does not fit into memory.
    """
    if request.weak is not None and request.weak.model.cascade.stages != model.cascade.stages:
        raise UsageError("the weaker run has another cascade; autoguidance needs the same stages and operators")
    parallel, count = parallel or Parallel(model.device), request.prompt.count
    size = min(sampling.batch_size, math.ceil(count / parallel.size)) or 1
    parts = [slice(start, min(start + size, count)) for start in range(first, count, size)]
    plan = build_plan(sampling, len(model.cascade.stages))
    model = ready(model, sampling, flop(model, plan, request.shape, request.patches, count, size))
    return parallel.spread(parts, lambda part: _draw_part(model, request, part, sampling, keep_stages, on_step))


def _draw_part(
    model: FlowModel, request: Request, rows: slice, sampling: SamplingSpec, keep_stages: bool, on_step: OnStep | None
) -> Drawn:
    kept: list[Tensor] = []
    clean: list[Tensor] = []
    brightness = model.cascade.down.brightness

    def keep(stage: Stage, state: Tensor, clean_estimate: Callable[[], Tensor | None]) -> None:
        kept.append((state / brightness**stage.halvings).cpu())
        if (estimate := clean_estimate()) is not None:
            clean.append((estimate / brightness**stage.halvings).cpu())

    weak, edits, prompt, null = request.weak, request.edits, request.prompt.part(rows), request.null
    if null is not None and null.count > 1:
        null = null.part(rows)
    cure = "lower the sampling's batch_size, or set its precision to bfloat16"
    with evaluating(model, *([weak.model] if weak else [])), memory_for(f"drawing in batches of {prompt.count}", cure):
        images, spent = generate(
            model,
            build_plan(sampling, len(model.cascade.stages)),
            prompt.condition(model),
            None if null is None else condition_for(null, model, prompt.count),
            request.noise(rows),
            request.shape,
            WeakModel(weak.model, weak.condition(prompt)) if weak else None,
            keep if keep_stages else None,
            on_step if edits is None else edits.watched(model.cascade, rows, on_step),
            None if edits is None else edits.entry(model.cascade, rows, request.shape[1]),
        )
    return Drawn(images.cpu(), kept, spent.by_stage, clean if len(clean) == len(kept) else [])


@contextmanager
def evaluating(*models: FlowModel) -> Iterator[None]:
    """No gradients, and the models in evaluation mode; afterwards as they were.

    Models that are in it already, as those of an opened run, are left untouched: threads may share them.
    """
    training = [module for model in models for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
