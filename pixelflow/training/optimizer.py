"""The optimizer, and its state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from pixelflow.core.interfaces import Backbone
from pixelflow.core.training_settings import TrainingSpec
from pixelflow.training.muon import Change, Muon


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name; frozen encoders are not."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


class Optimizer:
    """Algorithms over disjoint parts of a model's parameters, as one: one rate, one step, one state by name."""

    def __init__(self, parts: Sequence[tuple[Sequence[str], torch.optim.Optimizer]]) -> None:
        """Parts: the names of each algorithm's parameters, in its own order."""
        self._parts = parts

    def step(self, rate: float | None = None, skip: Tensor | None = None) -> None:
        """One step of every parameter, at this learning rate if one is given; the gradients are then forgotten.

        Args:
            skip: 1 for no step, else 0, on the device, where it is heeded.
        """
        for _, algorithm in self._parts:
            for group in algorithm.param_groups:
                group["lr"] = group["lr"] if rate is None else rate
            algorithm.found_inf = skip  # type: ignore[attr-defined]  # as a gradient scaler tells it
            algorithm.step()
            algorithm.zero_grad()

    def tensors(self) -> dict[str, Tensor]:
        """The state as ``moment/parameter`` -> tensor; parameters that never had a gradient have none."""
        return {
            f"{moment}/{names[index]}": tensor
            for names, algorithm in self._parts
            for index, state in algorithm.state_dict()["state"].items()
            for moment, tensor in state.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        of_parameter: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            moment, _, parameter = name.partition("/")
            of_parameter.setdefault(parameter, {})[moment] = tensor
        for names, algorithm in self._parts:
            states = {index: of_parameter[name] for index, name in enumerate(names) if name in of_parameter}
            algorithm.load_state_dict({"state": states, "param_groups": algorithm.state_dict()["param_groups"]})


def make_optimizer(
    model: nn.Module,
    training: TrainingSpec,
    others: Mapping[str, nn.Parameter] | None = None,
    whole: Change = _as_it_is,
    cut: Change = _as_it_is,
) -> Optimizer:
    """AdamW (arXiv 1711.05101) over the trained parameters in one fused pass, or beside Muon for the hidden matrices.

    Args:
        others: parameters that are no part of the model, such as an objective's own.
        whole: all shares of a tensor together; needed where each process holds a share.
        cut: the inverse.
    """
    adam, muon = trained(model) | dict(others or {}), dict[str, nn.Parameter]()
    if training.optimizer == "muon":
        hidden = hidden_matrices(model)
        muon = {name: adam.pop(name) for name in list(adam) if name in hidden}
    parts: list[tuple[Sequence[str], torch.optim.Optimizer]] = []
    if muon:
        parts.append((list(muon), Muon(muon.values(), training.learning_rate, training.weight_decay, whole, cut)))
    if adam:
        decay, rate = training.weight_decay, training.learning_rate
        algorithm = AdamW(adam.values(), lr=rate, betas=training.betas, weight_decay=decay, fused=True)
        parts.append((list(adam), algorithm))
    return Optimizer(parts)


def hidden_matrices(model: nn.Module) -> frozenset[str]:
    """The names of the matrices that Muon is for: weights of linear layers, but of those at a backbone's ends."""
    modules = dict(model.named_modules())
    ends = {end for module in modules.values() if isinstance(module, Backbone) for end in module.ends}
    return frozenset(
        f"{name}.weight" if name else "weight"
        for name, module in modules.items()
        if isinstance(module, nn.Linear) and module not in ends
    )
