"""The optimizer, the course of its rate, and its state as named tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from pixelflow.core.spec import TrainingSpec


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name; frozen encoders are not."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def make_optimizer(model: nn.Module, training: TrainingSpec) -> AdamW:
    """AdamW (arXiv 1711.05101) over the trained parameters, in one fused pass."""
    return AdamW(
        trained(model).values(),
        lr=training.learning_rate,
        betas=training.betas,
        weight_decay=training.weight_decay,
        fused=True,
    )


def rate_at(step: int, training: TrainingSpec) -> float:
    """The learning rate of step 0, 1, ...: a linear warm-up, then constant, or half a cosine towards 0."""
    if step < training.warmup:
        return training.learning_rate * (step + 1) / training.warmup
    if training.decay == "constant":
        return training.learning_rate
    progress = (step - training.warmup) / max(1, training.steps - training.warmup)
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def optimizer_tensors(optimizer: AdamW, model: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state as ``moment/parameter`` -> tensor; parameters that never had a gradient have none."""
    names = list(trained(model))
    states: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{moment}/{names[i]}": tensor for i, state in states.items() for moment, tensor in state.items()}


def restore_optimizer(optimizer: AdamW, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    index = {name: i for i, name in enumerate(trained(model))}
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        moment, _, parameter = name.partition("/")
        states.setdefault(index[parameter], {})[moment] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def set_rate(optimizer: AdamW, rate: float) -> None:
    """Give every parameter the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradients(model: nn.Module, largest: float | None) -> Tensor:
    """Scale the gradient down to the largest norm; returns its norm before that (a scalar)."""
    parameters = trained(model).values()
    return torch.nn.utils.clip_grad_norm_(parameters, math.inf if largest is None else largest)
