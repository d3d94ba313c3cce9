"""How fast a model samples and trains, beside the matrix-multiply peak of the same device in the same process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch

from pixelflow.core.assembly import build_dataset, build_plan
from pixelflow.core.fields import CAPTION, LABEL, field_of
from pixelflow.core.interfaces import Sample
from pixelflow.core.model import FlowModel
from pixelflow.core.sampling import SeededNoise, generate
from pixelflow.core.schedule import Stage
from pixelflow.core.spec import ExperimentSpec
from pixelflow.costs.planning import FLOP_PER_MAC, costs
from pixelflow.generation.draw import evaluating
from pixelflow.generation.prompts import Prompt, condition_for
from pixelflow.generation.ready import flop, ready
from pixelflow.system.errors import OutOfMemoryError
from pixelflow.system.memory import memory_for
from pixelflow.training.loader import Batch, grouped
from pixelflow.training.objective import WorkMaker, build_objective, own_weights, teacher_of
from pixelflow.training.optimizer import make_optimizer

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float8": torch.float8_e4m3fn}
_SIDES = {"cpu": (512, 1024, 2048)}
_LARGE_SIDES = (4096, 8192)
_PASSES = 3
"""Forward passes that a training step is worth; recomputation is not counted as useful work."""


@dataclass(frozen=True)
class StageSpeed:
    """One stage of sampling, of one image."""

    seconds: float
    nfe: float
    """Network function evaluations; a guided one counts as two."""
    share: float
    """Of the peak, that its evaluations make use of."""


@dataclass(frozen=True)
class SamplingSpeed:
    """Sampling at one batch size; encoding captions and writing files are left out."""

    batch_size: int
    seconds: float
    """Of one image."""
    nfe: float
    share: float
    stages: tuple[StageSpeed, ...]


@dataclass(frozen=True)
class TrainingSpeed:
    """Forward pass, backward pass and optimizer, with the images already at hand."""

    batch_size: int
    """Images that are computed at a time: a batch over its accumulation steps."""
    images_per_second: float
    share: float


def matmul_peak(precision: str, device: torch.device) -> float:
    """FLOP/s of the best square product."""
    best = 0.0
    for side in _SIDES.get(device.type, _LARGE_SIDES):
        a, b = (torch.randn(side, side, device=device).to(_DTYPES[precision]) for _ in range(2))
        product = _product_of_8_bits if precision == "float8" else torch.matmul
        best = max(best, 2.0 * side**3 / best_seconds(partial(product, a, b), device, repeats=5))
    return best


def _product_of_8_bits(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    scale = torch.ones((), device=a.device)
    return torch._scaled_mm(a, b.t(), scale, scale, out_dtype=torch.bfloat16, use_fast_accum=True)


def best_seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The shortest of several timed calls, after one to warm up."""
    call()
    marks = [_now(device)]
    for _ in range(repeats):
        call()
        marks.append(_now(device))
    return min(after - before for before, after in pairwise(marks))


def sampling_speeds(
    model: FlowModel, spec: ExperimentSpec, classes: int, batch_sizes: Iterable[int], peak: float, repeats: int = 3
) -> Iterator[SamplingSpeed]:
    """Speed by the spec's sampling block at each batch size, in turn; ends before one that memory does not hold."""
    for size in batch_sizes:
        try:
            yield sampling_speed(model, spec, classes, size, peak, repeats)
        except OutOfMemoryError:
            return


def sampling_speed(
    model: FlowModel, spec: ExperimentSpec, classes: int, batch_size: int, peak: float, repeats: int
) -> SamplingSpeed:
    """The best of `repeats` batches, stage by stage, after one to warm up.

    Raises:
        OutOfMemoryError: memory does not hold the batch.
    """
    prompt = Prompt(batch_size, example_values(model, classes, batch_size))
    shape, plan = (spec.image.channels, *spec.image.size), build_plan(spec.sampling, spec.stages)
    each = flop(model, plan, shape, spec.patches, batch_size, batch_size)
    model = ready(model, spec.sampling, each._replace(whole=0.0))  # compiled where the spec says so: this is not long
    with evaluating(model), memory_for(f"drawing {batch_size} images at a time", "give smaller --batches"):
        rounds = [_stage_seconds(model, spec, prompt) for _ in range(repeats + 1)][1:]
    seconds = [min(times) / batch_size for times in zip(*(times for times, _ in rounds), strict=True)]
    nfe = rounds[0][1]
    planned = zip(costs(spec).stages, nfe, strict=True)
    done = [FLOP_PER_MAC * (stage.once.macs * spent - stage.left_out) for stage, spent in planned]
    stages = tuple(
        StageSpeed(own, count, work / own / peak) for own, count, work in zip(seconds, nfe, done, strict=True)
    )
    total = sum(seconds)
    return SamplingSpeed(batch_size, total, sum(nfe), sum(done) / total / peak, stages)


def _stage_seconds(model: FlowModel, spec: ExperimentSpec, prompt: Prompt) -> tuple[list[float], list[float]]:
    """Seconds that a batch spends in each stage, its renoising included, and evaluations an image."""
    shape = (spec.image.channels, *spec.image.size)
    condition, null = prompt.condition(model), condition_for(Prompt(1), model, prompt.count)
    noise = SeededNoise(range(prompt.count), model.device)
    marks = [_now(model.device)]

    def mark(stage: Stage, state: torch.Tensor, clean_estimate: object) -> None:
        marks.append(_now(model.device))

    plan = build_plan(spec.sampling, spec.stages)
    _, spent = generate(model, plan, condition, null, noise, shape, on_stage=mark)
    return [after - before for before, after in pairwise(marks)], spent.by_stage


def training_speed(
    model: FlowModel, spec: ExperimentSpec, classes: int, peak: float, repeats: int = 5
) -> TrainingSpeed:
    """Speed of the best step on random images; changes the model's weights.

    Raises:
        OutOfMemoryError: memory does not hold a step.
    """
    training, device = spec.training, model.device
    size = training.batch_size // training.grad_accumulation
    batch = Batch(
        grouped(torch.randn(size, spec.image.channels, *spec.image.size)), _values(model, spec, classes, size)
    )
    model.train()
    model.backbone.activation_checkpointing = training.activation_checkpointing
    objective = build_objective(spec, model, model)
    make_work = WorkMaker(model, spec, teacher=teacher_of(objective))
    optimizer = make_optimizer(model, training, own_weights(objective))

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bfloat16"):
            losses = objective(make_work(batch, 0))
        torch.cat(losses).mean().backward()
        optimizer.step()

    with memory_for("training", "the spec's training.batch_size does not fit here"):
        rate = size / best_seconds(step, device, repeats)
    return TrainingSpeed(size, rate, _PASSES * FLOP_PER_MAC * costs(spec).forward_macs * rate / peak)


def example_values(model: FlowModel, classes: int, count: int) -> Mapping[str, list[object]]:
    """Labels in turn, and captions, as far as the model is conditioned on them; other fields are left out."""
    columns: dict[str, Sequence[object]] = {
        LABEL.name: [index % max(1, classes) for index in range(count)],
        CAPTION.name: [f"a picture of the number {index}" for index in range(count)],
    }
    return {one.reads: list(columns[one.reads]) for one in model.conditioners if one.reads in columns}


def _values(model: FlowModel, spec: ExperimentSpec, classes: int, count: int) -> dict[str, list[object]]:
    """`example_values`, and what the first image of the spec's data has of other fields."""
    values = dict(example_values(model, classes, count))
    for name in {one.reads for one in model.conditioners} - values.keys():
        sample = build_dataset(spec).sample(0, torch.Generator())
        values[name] = [field_of(name).of(sample) if isinstance(sample, Sample) else None] * count
    return values


def _now(device: torch.device) -> float:
    """The time when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
