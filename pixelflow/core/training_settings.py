"""The settings of the optimisation: ``training`` in a spec."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from pixelflow.core.component import Compile, Count, Settings
from pixelflow.core.interfaces.tracking import AnyTracker, of_tensorboard
from pixelflow.core.problems import problem
from pixelflow.core.teacher import RunWeights

LONGEST_POWER_EMA = 0.28
"""Of all lengths; that of the mean of all weights is a little more."""


class InitSpec(RunWeights):
    """Another run's weights, to start from."""


def _run(value: object) -> object:
    """``runs/NAME`` means ``{run: runs/NAME}``."""
    return {"run": value} if isinstance(value, str) else value


Init = Annotated[InitSpec, BeforeValidator(_run, json_schema_input_type=str | InitSpec)]


class PhaseSpec(Settings):
    """Another course of the learning rate, from a step on."""

    former_keys: ClassVar = {"decay": "lr_schedule"}

    start: int = Field(ge=1)
    """Step from which on it holds; the steps before keep their rates, done or not."""
    learning_rate: float | None = Field(default=None, gt=0)
    """By default the rate of the step before."""
    warmup: int = Field(default=0, ge=0)
    """Steps over which the rate goes there linearly from that of the step before."""
    lr_schedule: Literal["constant", "cosine"] = "constant"
    """Course after that; cosine falls to 0."""
    decay_end: int | None = Field(default=None, ge=1)
    """Step at which a cosine has fallen to 0; by default where the next phase starts, or after the last step."""


class PowerEmaSpec(Settings):
    """Averages by a power of time, of which snapshots are kept: they give any length afterwards (arXiv 2312.02696)."""

    lengths: tuple[Annotated[float, Field(gt=0, le=LONGEST_POWER_EMA)], ...] = Field(default=(0.05, 0.1), min_length=1)
    """Those that are followed, each one more copy of the weights; standard deviation of what is remembered, as a share
    of the steps that are done."""
    every: Count = 1000
    """Training steps between snapshots, which are all kept; the last step is one too."""

    @model_validator(mode="after")
    def _are_several(self) -> PowerEmaSpec:
        if len(set(self.lengths)) < len(self.lengths):
            raise problem("names a length twice", "lengths")
        return self


class HeldOutSpec(Settings):
    """Images that are not trained on; their loss tells how the network does on new ones."""

    fraction: float | None = Field(default=None, gt=0, lt=1)
    """Share of the data, drawn by the spec's seed."""
    data: dict[str, object] | None = None
    """Other data: what differs from the spec's own, e.g. {split: test} or {root: pictures-held-out}."""
    every: Count = 1000
    """Training steps between measurements; the last step is one too."""
    images: Count = 512
    """Of them that are measured, at most."""

    @model_validator(mode="after")
    def _is_one(self) -> HeldOutSpec:
        if (self.fraction is None) == (self.data is None):
            raise problem("needs either a fraction or data")
        return self


def _fraction(value: object) -> object:
    """``0.05`` means ``{fraction: 0.05}``."""
    return {"fraction": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value


HeldOut = Annotated[HeldOutSpec, BeforeValidator(_fraction, json_schema_input_type=float | HeldOutSpec)]


class TrainingSpec(Settings):
    """The optimisation."""

    former_keys: ClassVar = {
        "decay": "lr_schedule",
        "clip": "max_grad_norm",
        "accumulation": "grad_accumulation",
        "checkpointing": "activation_checkpointing",
        "tensorboard": of_tensorboard,
    }

    init_from: Init | None = None
    """A run whose weights this one starts from, as far as they fit; its folder, or a block; null starts afresh."""
    steps: Count = 10000
    """Optimizer steps."""
    batch_size: Count = 64
    """Images an optimizer step, over all accumulation steps."""
    grad_accumulation: Count = 1
    """Parts into which a batch is split to save memory."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: Muon for the matrices of hidden linear layers, AdamW for all else, both at ``learning_rate``."""
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup: int = Field(default=0, ge=0)
    """Steps over which the rate rises linearly from 0."""
    lr_schedule: Literal["constant", "cosine"] = "constant"
    """Course of the rate after the warm-up; cosine falls to 0."""
    decay_end: int | None = Field(default=None, ge=1)
    """Step at which a cosine has fallen to 0; by default where the first phase starts, or after the last step."""
    phases: tuple[PhaseSpec, ...] = ()
    """Changes of the rate, also of a run that exists: each from a step on that is not done yet."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(default=(0.9, 0.999))
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient; null for none."""
    ema: float = Field(default=0.9999, ge=0, lt=1)
    """Decay of the averaged weights. Early on it is at most (1 + step) / (10 + step)."""
    power_ema: PowerEmaSpec | None = None
    """Further averages, any length of which can be asked for afterwards: ``sample --weights 0.075``; null for none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 runs the network under autocast; weights and optimizer stay in float32."""
    parallel: Literal["ddp", "fsdp", "hybrid"] = "ddp"
    """What several processes hold. ddp: each the whole model; fsdp: each a share of weights, gradients, optimizer and
    average (FSDP2); hybrid: the processes of each machine share one model. May change while a run goes on."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    compile: Compile = "auto"
    """Compile the network's blocks; auto does so where the training is long enough to earn it back."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads of one product; null leaves it to torch. Small networks are fastest with 1."""
    workers: int = Field(default=0, ge=0, le=256)
    """Processes that read data; 0 reads in the training process."""
    log_every: Count = 50
    """Steps between lines of metrics."""
    save_every: Count = 1000
    """Steps between checkpoints."""
    keep: Count = 2
    """Checkpoints kept; older ones are deleted."""
    sample_every: Count | None = 1000
    """Steps between sample grids; null for none."""
    held_out: HeldOut | None = None
    """Images whose loss is measured and that are not trained on: a share of the data, or a block; null for none."""
    samples: Count = 16
    """Images in a sample grid."""
    prompts: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Captions that a sample grid shows, in turn; by default the first of the data."""
    labels: tuple[int | str, ...] | None = Field(default=None, min_length=1)
    """Classes that a sample grid shows, by number or name, in turn; by default all."""
    trackers: tuple[AnyTracker, ...] = ()
    """Programs in which people watch the run, such as [tensorboard]; several at once."""
    bad_images: int = Field(default=100, ge=0)
    """Unreadable images after which training stops."""
