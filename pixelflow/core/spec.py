"""The experiment spec: everything that makes a run, frozen, with no unknown keys.

A spec is read from YAML by `pixelflow.core.reading` and written, with every default, into the run folder.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from pixelflow.core import absent, standard
from pixelflow.core.block_cache import BlockCacheSpec
from pixelflow.core.component import Compile, Count, Precision, Settings
from pixelflow.core.document import Document
from pixelflow.core.former_keys import renamed
from pixelflow.core.geometry import CascadeSpec, ImageSpec
from pixelflow.core.interfaces import (
    Backbone,
    Conditioner,
    Dataset,
    Extractor,
    Grid,
    Guidance,
    Metric,
    Objective,
    Prediction,
    Sampler,
)
from pixelflow.core.interfaces.training import AnyPrediction
from pixelflow.core.problems import problem
from pixelflow.core.sizes import Size, nearest_multiples, sizes_of
from pixelflow.core.slots import Slot
from pixelflow.core.training_settings import TrainingSpec
from pixelflow.system import terminal

AnyBackbone = Annotated[Backbone.Params, Slot("backbone")]
AnyConditioner = Annotated[Conditioner.Params, Slot("conditioner")]
AnyDataset = Annotated[Dataset.Params, Slot("dataset")]
AnyObjective = Annotated[Objective.Params, Slot("objective", usual="flow_matching")]
AnySampler = Annotated[Sampler.Params, Slot("sampler")]
AnyGrid = Annotated[Grid.Params, Slot("grid")]
AnyGuidance = Annotated[Guidance.Params, Slot("guidance")]
AnyExtractor = Annotated[Extractor.Params, Slot("extractor")]
AnyMetric = Annotated[Metric.Params, Slot("metric")]

Steps = Annotated[int, Field(ge=1, le=100_000)]  # a solver's times are listed: a slip of many digits would fill memory
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class SamplingSpec(Settings):
    """How images are generated, unless a command says otherwise."""

    sampler: AnySampler = Field(default="euler")  # type: ignore[assignment]
    """The solver."""
    grid: AnyGrid = Field(default="uniform")  # type: ignore[assignment]
    """Where in each stage the solver evaluates."""
    steps: Steps | tuple[Steps, ...] = Field(default=30)
    """Steps of each stage; a list gives one number for each, coarse to fine."""
    guidance: AnyGuidance = Field(default="none")  # type: ignore[assignment]
    """How conditional and unconditional velocities are combined."""
    precision: Precision = "float32"
    """bfloat16 runs the network in 16 bits, float8 its blocks' products in 8; the state stays in float32."""
    compile: Compile = "auto"
    """Compile the network's blocks; auto does so where the drawing is long enough to earn it back."""
    cuda_graphs: Compile = "auto"
    """Launch all kernels of an evaluation at once; auto does so on GPUs for batches that are small for them."""
    block_cache: BlockCacheSpec | None = None
    """Blocks that are left out at some evaluations of the last stage, for less arithmetic; null for none."""
    batch_size: Count = 64
    """Images generated at a time."""

    def steps_of(self, stages: int) -> tuple[int, ...]:
        """Steps of each stage; a ValueError if the list does not fit."""
        steps = (self.steps,) * stages if isinstance(self.steps, int) else self.steps
        if len(steps) != stages:
            raise problem(f"has {len(steps)} entries for {stages} stages", "steps")
        return steps


class EvaluationSpec(Settings):
    """How generated images are compared with the data."""

    metrics: tuple[AnyMetric, ...] = Field(default_factory=standard.metrics)  # type: ignore[arg-type]
    """What is measured; by default `frechet`, in `efficientnet_lite0` where its package is installed."""
    images: int = Field(default=400, ge=2)
    """Images to generate."""
    reference: Path | None = None
    """Real images (a folder, an npz, a spec) or saved statistics, in place of the spec's own data."""
    every: Count | None = None
    """Training steps between evaluations of the averaged weights, the best of which are kept; null for none."""
    bad_images: int = Field(default=100, ge=0)
    """Unreadable images after which an evaluation stops."""
    bootstrap: int = Field(default=0, ge=0)
    """Random halves of the images that give 95 % intervals of figures that rest on features alone; 0 for none."""


class ExperimentSpec(Settings):
    """One experiment."""

    name: str = Field(json_schema_extra={"pattern": _NAME})
    """Names the run folder."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Fixes initial weights, data order, noise and augmentation."""
    image: ImageSpec = Field(default_factory=ImageSpec)
    data: AnyDataset
    """Where the images come from."""
    cascade: CascadeSpec
    backbone: AnyBackbone = Field(default="dit")  # type: ignore[assignment]
    """The network."""
    conditioners: tuple[AnyConditioner, ...] = Field(default=())
    """What images are conditioned on; several add up."""
    objective: AnyObjective = Field(default="flow_matching")  # type: ignore[assignment]
    """What the network is trained on."""
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    sampling: SamplingSpec = Field(default_factory=SamplingSpec)
    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec)

    @field_validator("name")
    @classmethod
    def _usable_as_folder(cls, name: str) -> str:
        if not re.fullmatch(_NAME, name):
            raise ValueError("may hold letters, digits, '.', '_' and '-', and begins with a letter or digit")
        return name

    @property
    def stages(self) -> int:
        """Number of stages of the cascade."""
        return self.cascade.count(self.image)

    @property
    def patches(self) -> tuple[int, ...]:
        """Patch size of each stage, coarse to fine."""
        return self.cascade.patches(self.image)

    @property
    def prediction(self) -> Prediction.Params:
        """What the network's output means: the objective's setting, also where the objective's plugin is not here."""
        told: object = self.objective.prediction
        if isinstance(told, Prediction.Params):
            return told
        with absent.allowed(absent.by_name):
            return TypeAdapter[Prediction.Params](AnyPrediction).validate_python(told)

    @property
    def unit(self) -> int:
        """What divides the sides of every image, so that each stage can be cut into patches."""
        return math.lcm(*(patch << (self.stages - 1 - stage) for stage, patch in enumerate(self.patches)))

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes (height, width) of training images."""
        image = self.image
        return (image.size,) if image.max_aspect is None else sizes_of(image.size, self.unit, image.max_aspect)

    def held_out_data(self) -> Dataset.Params:
        """The data of which images are held out: the spec's own, or other ones; raises ValueError for bad settings."""
        held_out = self.training.held_out
        if held_out is None or held_out.data is None:
            return self.data
        own = Document("training.held_out.data", held_out.data)
        other = renamed(type(self.data), own, terminal.be_silent).data
        try:
            return type(self.data).model_validate({**self.data.model_dump(mode="json"), **other})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise problem(f"{first['msg']}; it may hold what differs from data", *first["loc"]) from None

    def check_size(self, size: Size) -> None:
        """Raise ValueError, naming the nearest ones that can, if images of `size` cannot be cut into patches."""
        if any(side % self.unit or side < 1 for side in size):
            height, width = nearest_multiples(size, self.unit)
            raise ValueError(
                f"images of {size[1]}x{size[0]} (width x height) cannot be cut into patches at all "
                f"{self.stages} stages: sides must be multiples of {self.unit}; the nearest is {width}x{height}"
            )

    @model_validator(mode="after")
    def _fits_together(self) -> ExperimentSpec:
        stages = problem.within(("cascade",), self.cascade.count, self.image)
        patches = problem.within(("cascade",), self.cascade.patches, self.image)
        self._check_divisible(stages, patches)
        self._check_aspect()
        self._check_jumps()
        problem.within(("backbone",), self.backbone.check, patches)
        problem.within(("sampling",), self.sampling.steps_of, stages)
        problem.within(("sampling", "guidance"), self.sampling.guidance.check, stages)
        problem.within(("training", "held_out", "data"), self.held_out_data)
        problem.within(("objective",), self.objective.check, stages)
        batch, parts = self.training.batch_size, self.training.grad_accumulation
        if batch % parts:
            raise problem(f"{parts} does not divide the batch size {batch}", "training", "grad_accumulation")
        starts = [phase.start for phase in self.training.phases]
        if starts != sorted(set(starts)):
            told = f"start at {', '.join(map(str, starts))}: each must start after the former"
            raise problem(told, "training", "phases")
        return self

    def _check_jumps(self) -> None:
        sampler, objective = self.sampling.sampler, self.objective
        known = isinstance(sampler, Sampler.Params) and isinstance(objective, Objective.Params)
        if not known or objective.trains_jumps or not sampler.jumps:
            return
        name, own = (params.component.type_name() for params in (objective, sampler))
        raise problem(
            f"{own} needs a run whose objective trains jumps, as shortcut does; {name} does not", "sampling", "sampler"
        )

    def _check_aspect(self) -> None:
        height, width = self.image.size
        own, largest = max(height / width, width / height), self.image.max_aspect
        if largest is not None and own > largest:
            raise problem(f"is {largest:g}, but the size's own aspect is {own:g}", "image", "max_aspect")
        if largest is not None and len(self.sizes) == 1:
            raise problem(
                f"{largest:g} allows no other size of about this area with sides that are multiples of {self.unit}; "
                "raise it, take a larger size or fewer stages, or leave it out",
                "image",
                "max_aspect",
            )

    def _check_divisible(self, stages: int, patches: tuple[int, ...]) -> None:
        unit = self.unit
        shape = "/".join(str(patch) for patch in dict.fromkeys(patches))
        for name, side in zip(("height", "width"), self.image.size, strict=True):
            if side % unit:
                below, above = side // unit * unit, -(-side // unit) * unit
                choices = f"{below} or {above}" if below else f"{above}"
                raise problem(
                    f"{name} {side} cannot be cut into patches of {shape} over {stages} stages: "
                    f"it must be a multiple of {unit}; use {choices}",
                    "image",
                    "size",
                )
