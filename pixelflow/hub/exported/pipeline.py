"""A PixelFlow pipeline for diffusers; images are those of the toolkit's own ``Run.sample``, bit for bit."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline, ImagePipelineOutput


class PixelFlowPipeline(DiffusionPipeline):
    """Draws images stage by stage: noise at the coarsest resolution, steps, upsample and renoise, steps again.

    PixelFlow, arXiv 2504.07963.
    """

    model_cpu_offload_seq = "transformer"
    _callback_tensor_inputs = ("latents", "velocity")

    def __init__(self, transformer, id2label=None, pixelflow=None):
        """Take the parts that model_index.json names.

        Args:
            transformer: a `PixelFlowTransformer`.
            id2label: number of a class, as text -> its name.
            pixelflow: always None; its entry makes diffusers fetch the folder of that name.
        """
        super().__init__()
        self.register_modules(transformer=transformer)
        self.register_to_config(id2label=id2label, pixelflow=None)
        self._interrupt = False

    @property
    def interrupt(self) -> bool:
        """Set ``pipe._interrupt = True`` in a callback to end the drawing with what is there."""
        return self._interrupt

    @property
    def run(self) -> Any:
        """The model as the toolkit's own `Run`, which also gives velocities and draws from given noise or images."""
        model = self.transformer
        names = self.config.id2label or {}
        classes = [names[key] for key in sorted(names, key=int)]
        source = model.module("generation.orders").WeightsSource(run="", step=0, weights="ema", sha256="")
        return model.module("generation.run").Run(model.spec, model.model, classes, source)

    @torch.no_grad()
    def __call__(
        self,
        class_labels: int | str | Sequence[int | str] | None = None,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        *,
        num_inference_steps: int | Sequence[int] | None = None,
        guidance_scale: float | Sequence[float] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        sampler: str | dict[str, object] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, object] | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Draw images; what is left out is as in the model's spec.

        Args:
            class_labels: names or numbers of classes, one or several; by default all of them.
            prompt, negative_prompt: captions, of models that read them.
            num_inference_steps: one number, or one a stage.
            guidance_scale: one number, or the weight of each stage.
            height, width: in place of the spec's.
            num_images_per_prompt: images of each label or caption.
            generator: one for all images, which draw from it in order, or one an image; the seeds of ``Run.sample``
                are one generator an image, ``[torch.Generator().manual_seed(seed) for seed in seeds]``.
            sampler: the solver, such as ``"heun"`` or ``{"type": "dopri5", "rtol": 1e-4}``.
            output_type: ``"pil"``, ``"np"`` (b h w c) and ``"pt"`` (b c h w) in [0, 1], or ``"latent"``: (b c h w) in
                about [-1, 1], not clipped.
            callback_on_step_end: ``callback(pipe, step, timestep, tensors)`` after every step, counted over all stages;
                what it returns as ``latents`` is gone on from.
            callback_on_step_end_tensor_inputs: of ``"latents"``, the state, and ``"velocity"``, both (b c h w) at the
                resolution of the stage.

        Returns:
            ``ImagePipelineOutput``, or a tuple with the images.
        """
        unknown = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(
                f"callback_on_step_end_tensor_inputs: {sorted(unknown)} are not {self._callback_tensor_inputs}"
            )
        run, self._interrupt = self.run, False
        asked = {
            "labels": _repeated(class_labels, num_images_per_prompt),
            "prompts": _repeated(prompt, num_images_per_prompt),
            "negatives": _repeated(negative_prompt, num_images_per_prompt),
        }
        if class_labels is None and prompt is None:
            asked["labels"] = _repeated(list(run.labels) or None, num_images_per_prompt)
        given = next((values for values in (asked["labels"], asked["prompts"]) if values), None)
        count = len(given) if given else num_images_per_prompt
        generators = self._generators(generator, count)
        size = None if height is None and width is None else (height or width, width or height)
        watched = _Watched(self, callback_on_step_end, callback_on_step_end_tensor_inputs)
        drawing = run.prepare(
            **asked,
            count=count,
            seeds=[own.initial_seed() % 2**62 for own in generators],
            size=size,
            steps=num_inference_steps,
            guidance=guidance_scale,
            sampler=sampler,
            on_step=watched.step,
        )
        noise = self.transformer.module("core.sampling").SeededNoise
        request = replace(drawing.request, noise=lambda rows: noise.of(generators[rows], run.model.device))
        sampling = drawing.sampling
        if self.transformer.dtype == torch.bfloat16:
            sampling = sampling.model_copy(update={"precision": "bfloat16"})
        images = watched.drawn(replace(drawing, request=request, sampling=sampling))
        return self._output(images, output_type, return_dict)

    def _generators(self, given, count):
        """One for each image; one that was given for all draws for them in order."""
        if given is None:
            seeds = torch.randint(2**62, (count,)).tolist()
            return [torch.Generator().manual_seed(seed) for seed in seeds]
        found = [given] * count if isinstance(given, torch.Generator) else list(given)
        if len(found) != count:
            raise ValueError(f"{count} images need {count} generators, or one, not {len(found)}")
        return found

    def _output(self, images, kind, return_dict):
        if kind == "pil":
            images = self.transformer.module("generation.pictures").to_pil(images)
        elif kind in ("pt", "np"):
            images = (images.clamp(-1, 1) + 1) / 2
            images = images if kind == "pt" else images.permute(0, 2, 3, 1).numpy()
        elif kind != "latent":
            raise ValueError(f"output_type {kind!r} is not 'pil', 'np', 'pt' or 'latent'")
        return ImagePipelineOutput(images=images) if return_dict else (images,)


class _Watched:
    """The callback, the bar and the interruption of one drawing."""

    def __init__(self, pipe, callback, names):
        self._pipe, self._callback, self._names = pipe, callback, names
        self._done, self._state = 0, None
        self._stopped = pipe.transformer.module("system.errors").StoppedError

    def step(self, stage, tau, state, velocity):
        """What the toolkit calls after every step of a solver."""
        self._bar.update()
        number, self._done = self._done, self._done + 1
        if self._callback is not None:
            tensors = {"latents": state, "velocity": velocity}
            given = {name: tensors[name] for name in self._names}
            state = (self._callback(self._pipe, number, stage.network_time(tau), given) or {}).get("latents", state)
        if self._pipe.interrupt:
            self._state = state
            raise self._stopped("interrupted by the callback")
        return state

    def drawn(self, drawing):
        """The images; of an interrupted drawing the finished ones, and the last states enlarged."""
        with self._pipe.progress_bar(total=_steps(drawing)) as self._bar:
            try:
                return drawing.draw().images
            except self._stopped as stopped:
                finished = [] if stopped.result is None else [stopped.result.images]
                return torch.cat([*finished, F.interpolate(self._state.cpu(), drawing.request.shape[1:])])


def _steps(drawing):
    """Steps of all stages and batches; of solvers that choose their own nobody knows."""
    sampling, batches = drawing.sampling, -(-drawing.request.prompt.count // drawing.sampling.batch_size)
    is_adaptive = sampling.sampler.component.is_adaptive
    return float("inf") if is_adaptive else batches * sum(sampling.steps_of(len(drawing.model.cascade.stages)))


def _repeated(values, times):
    """Each value several times, in order; None stays None."""
    if values is None:
        return None
    many = values.tolist() if isinstance(values, torch.Tensor) else values
    many = [many] if isinstance(many, (int, str)) else list(many)
    return [value for value in many for _ in range(times)]
