"""All that training changes: weights, their average, the optimizer, the step; to and from checkpoints."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from pixelflow.core import seeds
from pixelflow.core.assembly import build_model
from pixelflow.core.interfaces import Objective
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import checkpoint
from pixelflow.runs.ema import Ema
from pixelflow.runs.weights import SkipInit
from pixelflow.system.errors import DataError
from pixelflow.system.journal import Position
from pixelflow.training.metrics import MetricAverages
from pixelflow.training.objective import build_objective, own_weights
from pixelflow.training.optimizer import Optimizer, make_optimizer, trained


@dataclass
class TrainState:
    """The state after `step` steps."""

    model: FlowModel
    ema: Ema
    objective: Objective
    optimizer: Optimizer
    step: int = 0
    window: MetricAverages = field(default_factory=MetricAverages)
    saved_step: int | None = None
    """The step of the newest checkpoint, if there is one."""
    metrics: Position | None = None
    """Where the run's metrics ended at the newest checkpoint; those of former versions do not know."""

    @classmethod
    def begin(cls, spec: ExperimentSpec, device: torch.device, checkpoints: Path) -> TrainState:
        """The newest undamaged checkpoint's, or, where there is none yet, new weights drawn from the spec's seed.

        Raises:
            DataError: every checkpoint is damaged, or the newest is of another model.
        """
        if not checkpoint.steps(checkpoints):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seeds.derive(spec.seed, "weights"))
                return cls._of(build_model(spec), spec, device)
        with SkipInit():
            model = build_model(spec)
        state = cls._of(model, spec, device)
        state._restore(checkpoints)
        return state

    @classmethod
    def _of(cls, model: FlowModel, spec: ExperimentSpec, device: torch.device) -> TrainState:
        model.to(device).train()
        model.backbone.activation_checkpointing = spec.training.activation_checkpointing
        ema = Ema(model, spec.training.ema)
        if spec.training.compile:
            # of functions that depend on their arguments alone, such as the choice of a kernel for attention
            warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools.lru_cache`", UserWarning)
            for part in model.backbone.compiled_parts:
                part.compile()
        objective = build_objective(spec, model, ema.model)
        return cls(model, ema, objective, make_optimizer(model, spec.training, own_weights(objective)))

    @cached_property
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that the optimizer changes, by name: the model's, and those that the objective has beside."""
        return trained(self.model) | own_weights(self.objective)

    def save(
        self, tensors: Mapping[str, Mapping[str, Tensor]], folder: Path, keep: int, best: int | None = None
    ) -> None:
        """Write a checkpoint, unless this step has one, and keep the best one's; raises CannotWriteError."""
        if self.saved_step == self.step:
            return
        told = {"step": self.step, "window": self.window.to_json()}
        told |= {"metrics": asdict(self.metrics)} if self.metrics else {}
        checkpoint.save(folder, self.step, tensors, told, keep, best)
        self.saved_step = self.step

    @property
    def spoilt(self) -> str | None:
        """A tensor that holds infinities or what is not a number; None for a state that is worth keeping."""
        return None if self.saved_step == self.step else checkpoint.not_finite(self.tensors)

    @property
    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": self.optimizer.tensors(),
            **self._own,
        }

    @property
    def _own(self) -> dict[str, dict[str, Tensor]]:
        """The objective's own weights as a part of the checkpoint; nothing where it has none."""
        own = own_weights(self.objective)
        return {"objective": {name: parameter.detach() for name, parameter in own.items()}} if own else {}

    def _restore(self, folder: Path) -> None:
        found = checkpoint.load(folder, parts=("model", "ema", "optimizer", *self._own))
        _load(self.model, found.tensors["model"], folder)
        _load(self.ema.model, found.tensors["ema"], folder)
        for part, tensors in self._own.items():
            for name, tensor in tensors.items():
                tensor.copy_(found.tensors[part][name])
        self.optimizer.restore(found.tensors["optimizer"])
        self.step = self.saved_step = found.step
        try:
            self.window = MetricAverages(**found.state["window"])
            self.metrics = Position(**found.state["metrics"]) if "metrics" in found.state else None
        except (LookupError, TypeError):
            raise DataError(
                f"{folder}: the state of step {found.step} is of another form; restore an earlier checkpoint"
            ) from None


def _load(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{folder}: the checkpoint does not fit the run's spec: {reason[:300]}") from None
