"""Processes that hold shares of one model reduce the gradients of the same parameters, whichever each has used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pixelflow.system.parallel import Parallel


class InStep(nn.Module):
    """An objective whose parameters outside of the blocks all get a gradient, so that all processes reduce the same."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self._used = dict[str, bool]()

    def forward(self, *given: Any) -> list[Tensor]:
        losses: list[Tensor] = self.inner(*given)
        reached = _leaves(losses)
        for name, one in self.inner.named_parameters():
            if one.requires_grad and type(one) is nn.Parameter:  # gathered now, which those of blocks are not
                self._used[name] = self._used.get(name, False) or one in reached
                if one not in reached:
                    losses[0] = losses[0] + one.flatten()[:0].sum()
        return losses

    def forget_unused(self, parallel: Parallel) -> None:
        """Take the zeros from parameters that no process had a gradient for: with one process they would have none."""
        used = torch.tensor([float(flag) for flag in self._used.values()])
        parallel.sum(used)
        parameters = dict(self.inner.named_parameters())
        for name, count in zip(self._used, used.tolist(), strict=True):
            if not count:
                parameters[name].grad = None
        self._used.clear()


def _leaves(outputs: Iterable[Tensor]) -> set[Tensor]:
    """The parameters from which tensors were computed."""
    todo: set[Any] = {output.grad_fn for output in outputs} - {None}
    known = set(todo)
    while todo:
        fresh = {after for after, _ in todo.pop().next_functions} - known - {None}
        todo |= fresh
        known |= fresh
    return {node.variable for node in known if type(node).__name__ == "AccumulateGrad"}
