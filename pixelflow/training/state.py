"""All that training changes: weights, their average, the optimizer, the step; to and from checkpoints."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pixelflow.core import compiling, seeds
from pixelflow.core.assembly import build_model
from pixelflow.core.interfaces import Objective
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import checkpoint
from pixelflow.runs.ema import Ema
from pixelflow.runs.weights import InShares, SkipInit
from pixelflow.system.engines import Engine, engine_for
from pixelflow.system.errors import DataError
from pixelflow.system.journal import Position
from pixelflow.system.parallel import Parallel
from pixelflow.training.metrics import MetricAverages
from pixelflow.training.objective import build_objective, own_weights
from pixelflow.training.optimizer import Optimizer, make_optimizer, trained
from pixelflow.training.power_averages import PowerAverages


@dataclass
class TrainState:
    """The state after `step` steps."""

    model: FlowModel
    ema: Ema
    power: PowerAverages
    objective: Objective
    optimizer: Optimizer
    engine: Engine
    wrapped: nn.Module
    """The objective as a step calls it."""
    form: FlowModel | None
    """The model without its numbers, where each process holds a share of these only."""
    step: int = 0
    window: MetricAverages = field(default_factory=MetricAverages)
    restored_step: int | None = None
    """The step of the checkpoint that it comes from, if there is one."""
    metrics: Position | None = None
    """Where the run's metrics ended at the newest checkpoint; those of former versions do not know."""
    is_compiled: bool = False
    """Whether the network's blocks are compiled, which the first step waits for."""

    @classmethod
    def begin(cls, spec: ExperimentSpec, parallel: Parallel, checkpoints: Path) -> TrainState:
        """The newest undamaged checkpoint's, or, where there is none yet, new weights drawn from the spec's seed.

        Raises:
            DataError: every checkpoint is damaged, or the newest is of another model.
            UsageError: the processes cannot train together in the way that is asked for.
        """
        engine = engine_for(parallel, spec.training.parallel, half=spec.training.precision == "bfloat16")
        is_new = not checkpoint.steps(checkpoints)
        making = InShares(engine.cut, draw=is_new) if engine.cuts else nullcontext() if is_new else SkipInit()
        with torch.random.fork_rng(devices=[]), making:
            torch.manual_seed(seeds.derive(spec.seed, "weights"))
            model = build_model(spec)
        shares = making.of(model) if isinstance(making, InShares) else {}
        state = cls._of(model, spec, engine, shares)
        if not is_new:
            state._restore(checkpoints)
        return state

    @classmethod
    def _of(cls, model: FlowModel, spec: ExperimentSpec, engine: Engine, shares: Mapping[str, Tensor]) -> TrainState:
        training, device = spec.training, engine.parallel.device
        model._apply(lambda tensor: tensor if tensor.is_meta else tensor.to(device))  # type: ignore[no-untyped-call]
        model.train()
        model.backbone.activation_checkpointing = training.activation_checkpointing
        form = copy.deepcopy(model) if engine.cuts else None
        ema = Ema(model, training.ema, engine.local)
        is_compiled = compiling.pays(training.compile, _flop(spec, model), device)
        if is_compiled:
            compiling.compile_parts(model.backbone)
        objective = build_objective(spec, model, ema.model, device)
        blocks = [block for one in (model, ema.model) for block in one.backbone.sharded_parts]
        wrapped = engine.wrap(objective, blocks, ema.model)
        if engine.cuts:
            _assign(model, shares, device)
            _assign(ema.model, {name: share.clone() for name, share in shares.items()}, device)
        optimizer = make_optimizer(model, training, own_weights(objective), engine.whole, engine.cut)
        power = PowerAverages(model, training.power_ema.lengths if training.power_ema else (), engine.local)
        return cls(model, ema, power, objective, optimizer, engine, wrapped, form, is_compiled=is_compiled)

    @cached_property
    def averages(self) -> Sequence[Ema | PowerAverages]:
        """What follows the weights after every step."""
        return [self.ema, self.power] if self.power.parts else [self.ema]

    @cached_property
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that the optimizer changes, by name: the model's, and those that the objective has beside."""
        return trained(self.model) | own_weights(self.objective)

    def whole(self, model: FlowModel) -> FlowModel:
        """The model, or its average, with all its numbers in this process, to draw with.

        Where each process holds a share, it is a copy, and all processes make one at once.
        """
        if self.form is None:
            return model
        made = copy.deepcopy(self.form).train(model.training).requires_grad_(False)
        made.load_state_dict({name: self.engine.whole(own) for name, own in model.state_dict().items()}, assign=True)
        return made

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """Make whole weights those of the model and of its average."""
        for model in (self.model, self.ema.model):
            for name, own in model.state_dict().items():
                own.copy_(self._share("model", name, weights[name]))

    @property
    def spoilt(self) -> str | None:
        """A tensor whose share here holds infinities or what is not a number; None for what is worth keeping."""
        local = self.engine.local
        here = {part: {name: local(own) for name, own in named.items()} for part, named in self.parts.items()}
        return checkpoint.not_finite(here)

    @property
    def told(self) -> dict[str, Any]:
        """What a checkpoint holds beside tensors."""
        told = {"step": self.step, "window": self.window.to_json()}
        return told | ({"metrics": asdict(self.metrics)} if self.metrics else {})

    @property
    def parts(self) -> dict[str, dict[str, Tensor]]:
        """The tensors that a checkpoint holds, as they are held."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": self.optimizer.tensors(),
            **self._added,
        }

    @property
    def _own(self) -> dict[str, dict[str, Tensor]]:
        """The objective's own weights as a part of the checkpoint; nothing where it has none."""
        own = own_weights(self.objective)
        return {"objective": {name: parameter.detach() for name, parameter in own.items()}} if own else {}

    @property
    def _added(self) -> dict[str, dict[str, Tensor]]:
        """The parts that not every checkpoint has."""
        return {**self.power.parts, **self._own}

    @cached_property
    def _shapes(self) -> dict[str, torch.Size]:
        """Of all parameters, those that the objective has beside the model's among them."""
        return {name: one.shape for name, one in (*self.model.named_parameters(), *own_weights(self.objective).items())}

    def _share(self, part: str, name: str, whole: Tensor) -> Tensor:
        """What this process keeps of a tensor of a checkpoint: of parameters, and of their moments, its share."""
        parameter = name.partition("/")[2] if part == "optimizer" else name
        return self.engine.cut(whole) if self._shapes.get(parameter) == whole.shape else whole

    def _restore(self, folder: Path) -> None:
        found = checkpoint.load(folder, parts=("model", "ema", "optimizer", *self._added), keep=self._share)
        for part, model in (("model", self.model), ("ema", self.ema.model)):
            _load(model, found.tensors[part], folder)
        for part, tensors in self._added.items():
            for name, tensor in tensors.items():
                tensor.copy_(found.tensors[part][name])
        self.optimizer.restore(found.tensors["optimizer"])
        self.step = self.restored_step = found.step
        try:
            self.window = MetricAverages(**found.state["window"])
            self.metrics = Position(**found.state["metrics"]) if "metrics" in found.state else None
        except (LookupError, TypeError):
            raise DataError(
                f"{folder}: the state of step {found.step} is of another form; restore an earlier checkpoint"
            ) from None


def _assign(model: nn.Module, shares: Mapping[str, Tensor], device: torch.device) -> None:
    """Give parameters on the meta device memory on another, with these values as far as there are any."""
    meta = {name: own for name, own in model.state_dict().items() if own.is_meta}
    made = {
        name: shares[name] if name in shares else torch.empty_like(own, device=device) for name, own in meta.items()
    }
    model.load_state_dict({**model.state_dict(), **made, **shares}, assign=True)


def _flop(spec: ExperimentSpec, model: FlowModel) -> float:
    """Floating-point operations of the whole training, text left out: a step is worth three forward passes."""
    shares = spec.objective.stage_mix or (1.0,) * spec.stages
    macs = 0.0
    for stage, patch, share in zip(model.cascade.stages, spec.patches, shares, strict=True):
        height, width = model.cascade.size(stage, *spec.image.size)
        macs += share / sum(shares) * model.backbone.cost(height // patch, width // patch, stage.index, 0).macs
    return 3 * 2 * macs * spec.training.batch_size * spec.training.steps


def _load(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{folder}: the checkpoint does not fit the run's spec: {reason[:300]}") from None
