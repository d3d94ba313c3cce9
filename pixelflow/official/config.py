"""The release's ``config.yaml``, and the spec that describes the same model."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Literal

import yaml
from pydantic import ConfigDict, Field, field_validator, model_validator

from pixelflow.backbones.dit import DiT
from pixelflow.conditioners.class_label import ClassLabel
from pixelflow.conditioners.t5 import T5
from pixelflow.core import reading
from pixelflow.core.component import Settings
from pixelflow.core.document import Document
from pixelflow.core.problems import problem
from pixelflow.core.schedule import TRAIN_TIMESTEPS
from pixelflow.core.spec import ExperimentSpec
from pixelflow.objectives.velocity import VelocityPrediction
from pixelflow.operators.bilinear import BilinearDown
from pixelflow.operators.nearest import NearestUp
from pixelflow.system.errors import UsageError

_GAMMA = -1 / 3
"""Correlation of the renoising noise inside 2x2 blocks; the only one that is exact for nearest upsampling."""

_KICKOFF = 8
"""Tokens a side at the coarsest stage of the released class model."""

_T5_CHANNELS = 2048
"""Channels of Flan-T5-XL, the released text model's encoder; text of other widths comes as embeddings."""

_TARGET = "pixelflow.model.PixelFlowModel"


class _Network(Settings):
    """``model.params``: what the release's network is built from.

    The bounds are far above any real model; without them a slip, or malice, could keep the machine busy for hours.
    """

    num_attention_heads: int = Field(ge=1, le=1024)
    attention_head_dim: int = Field(ge=4, le=1024, multiple_of=4)
    in_channels: Literal[1, 3] = 3
    out_channels: Literal[1, 3] = 3
    depth: int = Field(ge=1, le=1000)
    patch_size: int = Field(ge=1, le=1024)
    num_classes: int = Field(default=0, ge=0, le=10**8)
    cross_attention_dim: int | None = Field(default=None, ge=1, le=2**20)
    attention_bias: Literal[True] = True
    dropout: float = Field(default=0.0, ge=0, le=0)

    @model_validator(mode="after")
    def _one_image(self) -> _Network:
        if self.in_channels != self.out_channels:
            raise problem(f"must be {self.in_channels}, as in_channels", "out_channels")
        return self


class _Model(Settings):
    model_config = ConfigDict(extra="ignore")
    params: _Network


class _Scheduler(Settings):
    model_config = ConfigDict(extra="ignore")
    num_stages: int = Field(ge=1, le=16)
    num_train_timesteps: Literal[1000] = 1000
    gamma: float = _GAMMA

    @field_validator("gamma")
    @classmethod
    def _is_exact(cls, value: float) -> float:
        if not math.isclose(value, _GAMMA, abs_tol=1e-3):
            raise ValueError("must be -1/3, the only value for which renoising after nearest upsampling is exact")
        return value


class _Data(Settings):
    model_config = ConfigDict(extra="ignore")
    resolution: int | None = Field(default=None, ge=1)


class ReleaseConfig(Settings):
    """What a model's folder says about it; the settings of the release's training script are passed over."""

    model_config = ConfigDict(extra="ignore")
    model: _Model
    scheduler: _Scheduler
    data: _Data = Field(default_factory=_Data)

    @property
    def network(self) -> _Network:
        return self.model.params


def read_config(path: Path) -> ReleaseConfig:
    """Read a ``config.yaml``.

    Raises:
        MissingInputError: there is none.
        SpecError: it is not one of this model, or asks for what this model does not have.
    """
    return reading.validate(ReleaseConfig, reading.read_document(path))


def spec_of(config: ReleaseConfig, name: str, size: int | None) -> ExperimentSpec:
    """The spec of a released model: its network and cascade, and how its authors train and sample it.

    Args:
        name: any text; what a run's name cannot hold is replaced.
        size: side of the images; by default the one in the config, else a kickoff of 8 tokens.

    Raises:
        SpecError: the size does not suit the stages.
    """
    network, stages = config.network, config.scheduler.num_stages
    own = config.data.resolution or _KICKOFF * network.patch_size << (stages - 1)
    side = own if size is None else size
    context = network.cross_attention_dim
    conditioners: list[dict[str, object]] = []
    if network.num_classes:
        conditioners.append({"type": "class_label", "classes": network.num_classes})
    if context == _T5_CHANNELS:
        conditioners.append({"type": "t5", "model": "google/flan-t5-xl"})
    fields: dict[str, object] = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-") or "official",
        "image": {"size": side, "channels": network.in_channels},
        "data": {"type": "image_folder", "root": "data/imagenet/train"},
        "cascade": {"stages": stages, "patch": network.patch_size, "down": "bilinear", "up": "nearest"},
        "backbone": {
            "type": "dit",
            "depth": network.depth,
            "heads": network.num_attention_heads,
            "head_dim": network.attention_head_dim,
            "text_dim": None if context == _T5_CHANNELS else context,
        },
        "conditioners": conditioners,
        "objective": {"prediction": "velocity", "times": "uniform", "condition_dropout": 0.1},
        "training": {"learning_rate": 1e-4, "precision": "bfloat16"},
        "sampling": _class_sampling() if context is None else _text_sampling(),
    }
    return reading.validate(ExperimentSpec, Document("the released settings", fields))


def _class_sampling() -> dict[str, object]:
    """The paper's best setting (FID 1.98), but in float32."""
    return {"sampler": "dopri5", "guidance": {"type": "stagewise", "scale": 2.4}}


def _text_sampling() -> dict[str, object]:
    """The defaults of the release's pipeline; its Dopri5 is for the class model only."""
    return {"sampler": "euler", "grid": "official", "steps": 30, "guidance": {"type": "constant", "scale": 4.0}}


def text_channels(spec: ExperimentSpec) -> int | None:
    """Channels of the tokens that the network attends to, None if it attends to none."""
    backbone = spec.backbone
    own = backbone.text_dim if isinstance(backbone, DiT.Params) else None
    return next((params.context_dim for params in spec.conditioners if params.context_dim is not None), own)


def class_count(spec: ExperimentSpec) -> int:
    """Number of classes that the network is conditioned on, 0 for none."""
    return sum(params.classes or 0 for params in spec.conditioners if isinstance(params, ClassLabel.Params))


def config_text(spec: ExperimentSpec) -> str:
    """The ``config.yaml`` of a run.

    Raises:
        UsageError: the release's code has no such model.
    """
    _check_is_official(spec)
    backbone = spec.backbone
    assert isinstance(backbone, DiT.Params)
    network: dict[str, object] = {
        "num_attention_heads": backbone.heads,
        "attention_head_dim": backbone.head_dim,
        "in_channels": spec.image.channels,
        "out_channels": spec.image.channels,
        "depth": backbone.depth,
        "num_classes": sum(
            params.classes or 0 for params in spec.conditioners if isinstance(params, ClassLabel.Params)
        ),
        "patch_size": spec.patches[0],
        "attention_bias": True,
    }
    if text_channels(spec) is not None:
        network["cross_attention_dim"] = text_channels(spec)
    config = {
        "model": {"target": _TARGET, "params": network},
        "scheduler": {"num_train_timesteps": TRAIN_TIMESTEPS, "num_stages": spec.stages, "gamma": _GAMMA},
        "data": {"resolution": spec.image.height},
    }
    return yaml.safe_dump(config, sort_keys=False)


def _check_is_official(spec: ExperimentSpec) -> None:
    backbone, kinds = spec.backbone, [type(params) for params in spec.conditioners]
    has_projection = any(isinstance(params, T5.Params) and params.project for params in spec.conditioners)
    faults = {
        "its backbone is not a dit with mlp_ratio 4": not isinstance(backbone, DiT.Params) or backbone.mlp_ratio != 4,
        "it has more than one patch size": len(set(spec.patches)) > 1,
        "its conditioners are not class_label, t5, or one after the other": has_projection
        or kinds not in ([], [ClassLabel.Params], [T5.Params], [ClassLabel.Params, T5.Params]),
        "its images are not square": spec.image.height != spec.image.width,
        "it does not predict the velocity": not isinstance(spec.prediction, VelocityPrediction.Params),
        "its operators are not bilinear down and nearest up": not isinstance(spec.cascade.down, BilinearDown.Params)
        or not isinstance(spec.cascade.up, NearestUp.Params),
    }
    found = [text for text, is_so in faults.items() if is_so]
    if found:
        raise UsageError(f"run {spec.name} cannot be exported, because the release has no such model: {found[0]}")
