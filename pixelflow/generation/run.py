"""A trained run, opened: its spec and weights, velocities and samples. ``pixelflow.load`` gives one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from inspect import Signature, getdoc, signature
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from pixelflow.conditioners.class_label import ClassLabel
from pixelflow.core.assembly import build_model
from pixelflow.core.fields import CAPTION, LABEL, Classes, field_of
from pixelflow.core.interfaces import Grid, Guidance, Sampler
from pixelflow.core.labels import Labels, label_indices
from pixelflow.core.model import FlowModel
from pixelflow.core.sampling import OnStep
from pixelflow.core.schedule import TRAIN_TIMESTEPS, Stage
from pixelflow.core.sizes import Size
from pixelflow.core.spec import ExperimentSpec
from pixelflow.generation.draw import evaluating
from pixelflow.generation.editing import Edit
from pixelflow.generation.given import Given, Text, check_width
from pixelflow.generation.ordering import ordered
from pixelflow.generation.orders import WeightsSource
from pixelflow.generation.prompts import Prompt, context
from pixelflow.generation.result import Drawing
from pixelflow.generation.settings import changed_sampling
from pixelflow.generation.weaker import Weaker
from pixelflow.runs.history import Step
from pixelflow.runs.runfolder import RunFolder
from pixelflow.runs.stored import stored
from pixelflow.runs.weights import SkipInit, load_weights
from pixelflow.system.device import choose_device
from pixelflow.system.errors import DataError, UsageError
from pixelflow.system.printing import printable

P = ParamSpec("P")
T = TypeVar("T")


def _of(
    prepare: Callable[Concatenate[Run, P], Drawing], what: str, made: Callable[[Drawing], T]
) -> Callable[Concatenate[Run, P], T]:
    """A method that takes what `prepare` takes, and makes something of it."""

    def method(self: Run, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return made(prepare(self, *args, **kwargs))

    method.__signature__ = signature(prepare).replace(return_annotation=Signature.empty)  # type: ignore[attr-defined]
    method.__doc__ = f"{what}. Takes what `prepare` takes, and raises what it raises.\n\n{getdoc(prepare)}"
    return method


class Run:
    """A model with the spec that it was trained by."""

    def __init__(self, spec: ExperimentSpec, model: FlowModel, classes: Sequence[str], source: WeightsSource) -> None:
        self.spec = spec
        self.model = model.eval()
        self.classes = tuple(classes)
        """Names of the labels, where they have any."""
        self.source = source
        """Where the weights are from."""
        has_encoder = any(params.context_dim is not None for params in spec.conditioners)
        takes_tokens = model.backbone.context_dim is not None and not has_encoder
        self.reads = {one.reads for one in model.conditioners} | ({CAPTION.name} if takes_tokens else set())
        """The fields that the run is conditioned on."""
        counted = [params.classes or 0 for params in spec.conditioners if isinstance(params, ClassLabel.Params)]
        count = len(self.classes) or max(counted, default=0)
        self.labels = range(count) if LABEL.name in self.reads else range(0)
        """The labels of all classes; empty if the run is not conditioned on labels."""
        self.known = Classes(self.classes, len(self.labels))
        """The classes that labels are given of."""

    def __repr__(self) -> str:
        return f"Run({', '.join(f'{name}: {value}' for name, value in self._facts().items())})"

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._facts().items())
        return f"<table>{''.join(rows)}</table>"

    def _facts(self) -> dict[str, str]:
        height, width = self.spec.image.size
        return {
            "name": printable(self.spec.name),
            "step": f"{self.step:,} ({self.source.weights} weights)",
            "images": f"{width}x{height}, {self.spec.stages} stages",
            "drawn from": " and ".join(field_of(name).many for name in sorted(self.reads)) or "noise alone",
            "parameters": f"{sum(one.numel() for one in self.model.parameters()):,}",
            "device": str(self.model.device),
        }

    @property
    def step(self) -> int:
        """Training steps behind the weights."""
        return self.source.step

    @classmethod
    def open(
        cls, path: str | Path, *, step: Step | None = None, weights: str = "ema", device: str | None = None
    ) -> Run:
        """Open a run folder; see `pixelflow.load`.

        Raises:
            MissingInputError: there is no run or no such checkpoint, or none was evaluated and the best is wanted.
            DataError: the checkpoint is damaged, or does not fit the run's spec.
            UsageError: `weights` or `device` is unknown.
        """
        target, folder = choose_device(device), RunFolder(path)
        spec = folder.read_spec(to_draw=True)
        found = stored(folder, folder.step_of(step), weights)
        with SkipInit():
            model = build_model(spec)
        load_weights(model, found.tensors, f"{folder.path} step {found.step}")
        source = WeightsSource(run=str(folder.path), step=found.step, weights=found.weights, sha256=found.sha256)
        return cls(spec, model.to(target), folder.classes_at(found.step), source)

    @classmethod
    def reopen(cls, source: WeightsSource, *, path: str | Path | None = None, device: str | None = None) -> Run:
        """Open the very weights of a source, wherever its run lies now.

        Raises:
            DataError: the run holds other weights; and as `open` raises.
        """
        run = cls.open(path or source.run, step=source.step, weights=source.weights, device=device)
        if run.source.sha256 != source.sha256:
            raise DataError(f"{path or source.run}: its weights of step {source.step} are not the recorded ones")
        return run

    def velocity(
        self,
        x: Tensor,
        time: float | Tensor,
        *,
        labels: Labels | None = None,
        prompts: str | Sequence[str] | None = None,
        text: Text | None = None,
        mask: Tensor | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> Tensor:
        """The network's velocity (b c h w), without guidance.

        The stage is the one of x's resolution; for a size that the run itself does not have, the one in whose
        window an image's time lies.

        Args:
            x: states (b c h w).
            time: the network's own time in [0, 1000); one number, or one an image (b).
            labels: names or numbers of classes, one or one an image (see `label_indices`); left out, no class.
            prompts: captions, likewise; left out, no caption.
            text: captions as `prompts`, or token embeddings (b n d).
            mask: (b n), 1 where a token of the embeddings counts; by default everywhere.
            fields: values of other fields by name, one or one an image; left out, none.

        Raises:
            UsageError: a size, time, label or text that does not fit the run.
        """
        x = x.to(self.model.device, torch.float32)
        times = _times(time, len(x))
        stages = self._stages(x, times.tolist())
        given = _given(labels, fields)
        prompt = self._prompt(len(x), given, _one_of(prompts, text, "prompts"), mask)
        velocity = torch.empty_like(x)
        with evaluating(self.model):
            condition = prompt.condition(self.model)
            for stage in dict.fromkeys(stages):
                rows = torch.tensor([index for index, own in enumerate(stages) if own == stage])
                tau, rows = stage.tau(times[rows]).to(x.device), rows.to(x.device)
                velocity[rows] = self.model([x[rows]], [stage], [tau], condition.at(rows))[0].to(x.dtype)
        return velocity

    def prepare(
        self,
        *,
        labels: Labels | None = None,
        prompts: str | Sequence[str] | None = None,
        negatives: str | Sequence[str] | None = None,
        text: Text | None = None,
        mask: Tensor | None = None,
        uncond_text: Text | None = None,
        uncond_mask: Tensor | None = None,
        fields: Mapping[str, object] | None = None,
        count: int | None = None,
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        size: int | Size | None = None,
        noise: Sequence[Tensor] | None = None,
        edit: Edit | None = None,
        steps: int | Sequence[int] | None = None,
        sampler: str | Mapping[str, object] | Sampler.Params | None = None,
        guidance: float | Sequence[float] | str | Mapping[str, object] | Guidance.Params | None = None,
        grid: str | Mapping[str, object] | Grid.Params | None = None,
        weak: Run | None = None,
        keep_stages: bool = False,
        on_step: OnStep | None = None,
    ) -> Drawing:
        """Decide on images; `Drawing.draw` draws them. What is left out is as in the run's spec.

        `draw`, `sample` and `images` take the same and draw at once. Several threads may draw from one run at a time.

        Args:
            labels: names or numbers of classes (see `label_indices`), repeated up to `count`; by default all classes.
            prompts: captions, repeated likewise.
            negatives: what guidance leads away from in place of the empty caption, repeated likewise.
            text: captions as `prompts`, or token embeddings (b n d).
            mask: (b n), 1 where a token of the embeddings counts; by default everywhere.
            uncond_text, uncond_mask: what guidance leads away from; needed with it if `text` holds embeddings.
            fields: values of other fields by name, such as ``{"lowres": images}``, repeated likewise.
            count: number of images; by default as many as there are noises, seeds, texts or labels.
            seed: of the first image; the next has ``seed + 1``.
            seeds: one an image, in place of `seed`.
            size: height and width, or one number for a square, in place of the spec's; multiples of ``spec.unit``.
            noise: one tensor (b c h w) a stage in place of seeds: the starting noise, then each unit-scale
                renoising noise. Its size becomes the images' size.
            edit: make them from images, an `Edit` of `pixelflow.generation.editing`; see docs/editing.md.
            steps: one number, or one a stage.
            guidance: a number sets the scale of the run's own (constant where it has none), a list each stage's weight.
            weak: a weaker run of the same cascade, for autoguidance.
            keep_stages: also keep the final state of every stage.
            on_step: ``on_step(stage, tau, state, velocity)`` is called after every step of every batch, and may
                return another state to go on from, or raise `StoppedError`; see `pixelflow.core.sampling.OnStep`.

        Raises:
            UsageError: labels, texts, seeds, noise or a size that do not fit the run or each other.
            SpecError: a sampler, grid, guidance or steps that do not fit.
            StoppedError: `on_step` raised it; ``result`` holds the batches that were finished.
        """
        changes = {"steps": steps, "sampler": sampler, "guidance": guidance, "grid": grid}
        sampling = changed_sampling(self.spec, changes, source="sample()")
        text, null_text = _one_of(prompts, text, "prompts"), _one_of(negatives, uncond_text, "negatives")
        self.check_reads([] if text is None and null_text is None else [CAPTION.name])
        given = Given.checked(self.model, self.spec, text, mask, null_text, uncond_mask, noise)
        others = _given(labels, fields)
        wish = given.wish(self.spec.stages, given=others, size=size, count=count, seed=seed, seeds=seeds, edit=edit)
        order = ordered(self, wish, sampling, weak)
        weaker = self.weaker(weak, order.labels or ()) if weak else None
        request = given.request(self.model, self.spec, order, weaker)
        recorded = order if given.is_recordable else None
        titles = tuple(order.titles(self.classes))
        return Drawing(self.model, request, sampling, recorded, titles, keep_stages, on_step)

    draw = _of(prepare, "Draw images, and return the `Result`: images, stages, NFE and order", Drawing.draw)
    sample = _of(prepare, "Draw images (b c h w) on the CPU, before clipping to [-1, 1]", lambda one: one.draw().images)
    images = _of(prepare, "Draw images, as 8-bit pictures (PIL)", lambda one: one.draw().pictures())

    def label_indices(self, labels: Labels) -> list[int]:
        """Which of the run's classes are meant; see `pixelflow.core.labels.label_indices`.

        Raises:
            UsageError: there is no such class, or the run is not conditioned on labels.
        """
        self.check_reads([LABEL.name])
        return label_indices(labels, self.classes, len(self.labels))

    def weaker(self, weak: Run, labels: Sequence[int]) -> Weaker:
        """A weaker run for autoguidance of these labels; it finds their classes by name.

        Raises:
            DataError, UsageError: it knows other classes.
        """
        if not (LABEL.name in self.reads and LABEL.name in weak.reads):
            return Weaker(weak.model)
        return Weaker.matched(weak.model, (self.classes, len(self.labels)), (weak.classes, len(weak.labels)), labels)

    def check_reads(self, names: Iterable[str]) -> None:
        """Raise UsageError if the run is not conditioned on one of these fields."""
        for name in names:
            if name not in self.reads:
                raise UsageError(f"this run is not conditioned on {field_of(name).many}")

    def _prompt(self, count: int, given: Mapping[str, object], text: Text | None, mask: Tensor | None) -> Prompt:
        """The prompt of `count` images from values and a text for all of them, or one for each."""
        self.check_reads([*given, *([] if text is None else [CAPTION.name])])
        values: dict[str, Sequence[object]] = {
            name: _for_all(field_of(name).values(own, self.known), count) for name, own in given.items()
        }
        if isinstance(text, Tensor):
            check_width(text, self.model)
            return Prompt(count, values, context(text, mask, count, self.model))
        if text is not None:
            if all(conditioner.reads != CAPTION.name for conditioner in self.model.conditioners):
                raise UsageError("this run has no text encoder; give text= as token embeddings (b n d)")
            values[CAPTION.name] = _for_all([text] if isinstance(text, str) else text, count)
        return Prompt(count, values)

    def _stages(self, x: Tensor, times: Sequence[float]) -> list[Stage]:
        """The stage of each image (b c h w), by its size, else by its time."""
        channels, full = self.spec.image.channels, self.spec.image.size
        if x.ndim != 4 or x.shape[1] != channels:
            raise UsageError(f"x must be (b {channels} h w), not {tuple(x.shape)}")
        outside = [time for time in times if not 0 <= time < TRAIN_TIMESTEPS]
        if outside:
            raise UsageError(
                f"time {outside[0]:g} is outside the network's own times, 0 to below {TRAIN_TIMESTEPS}: at "
                f"{TRAIN_TIMESTEPS} the last stage has ended, and no state that it was trained on has that time"
            )
        cascade = self.model.cascade
        by_size = [stage for stage in cascade.stages if cascade.size(stage, *full) == tuple(x.shape[-2:])]
        stages = by_size * len(x) or [_stage_at(time, cascade.stages) for time in times]
        for stage in stages:
            patch = self.spec.patches[stage.index]
            if x.shape[-2] % patch or x.shape[-1] % patch:
                raise UsageError(f"an x of {x.shape[-2]}x{x.shape[-1]} pixels cannot be cut into patches of {patch}")
        return stages


def _times(time: float | Tensor, count: int) -> Tensor:
    """The time (b) of each of `count` images, in float64 on the CPU; raises UsageError for another number of times."""
    times = torch.as_tensor(time, dtype=torch.float64).cpu()
    if times.ndim > 1 or times.numel() not in (1, count):
        raise UsageError(f"time must be one number or {count}, one an image, not of shape {tuple(times.shape)}")
    return times.expand(count)


def _stage_at(time: float, stages: Sequence[Stage]) -> Stage:
    """The stage in whose window a network time lies."""
    return next((stage for stage in stages if time < stage.window[1]), stages[-1])


def _given(labels: Labels | None, fields: Mapping[str, object] | None) -> dict[str, object]:
    """Values by field, as far as any are given."""
    return dict(fields or {}) if labels is None else {**(fields or {}), LABEL.name: labels}


def _one_of(captions: str | Sequence[str] | None, text: Text | None, name: str) -> Text | None:
    """What was given under either name."""
    if captions is not None and text is not None:
        raise UsageError(f"give {name}= or its older name, not both")
    return text if captions is None else captions


def _for_all(values: Sequence[object], count: int) -> Sequence[object]:
    return list(values) * count if len(values) == 1 else values
