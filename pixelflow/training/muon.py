"""Muon (arXiv 2502.16982) for matrices of which each process may hold a share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from pixelflow.system.engines import share_of

_MOMENTUM = 0.95
_STEPS = 5
_COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the quintic a x + b x^3 + c x^5, applied to all singular values; steepest at 0, so that small ones grow fast."""
_LEAST_NORM = 1e-7
_RMS = 0.2
"""Root mean square of AdamW's updates, which these have too: both then take one rate (equation 4)."""

Change = Callable[[Tensor], Tensor]


class Muon(torch.optim.Optimizer):
    """A step goes along the momentum with its singular values made equal.

    It is that of `torch.optim.Muon` with ``match_rms_adamw``, bit for bit. Momentum and weights stay shares. The 16-bit
    direction alone is gathered, once a step, and made orthogonal by every process, so that all get what one gets;
    torch's own, given shares, communicates within each of its products and rounds them differently.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], rate: float, decay: float, whole: Change, cut: Change) -> None:
        """Begin without momentum.

        Args:
            decay: of the weights, times the rate.
            whole: all shares of one tensor together, by all processes at once.
            cut: this process's share of a whole one.
        """
        super().__init__(matrices, {"lr": rate, "weight_decay": decay})
        self._whole, self._cut = whole, cut
        self.found_inf: Tensor | None = None
        """1 for a step that is none, else 0, on the device, as torch's fused AdamW takes it; nothing waits for it."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    ahead = self._ahead(matrix)
                    update = self._cut(orthogonal(self._whole(ahead.bfloat16())))
                    size = _RMS * math.sqrt(max(matrix.shape))
                    self._move(matrix, update, -group["lr"] * size, 1 - group["lr"] * group["weight_decay"])

    def _ahead(self, matrix: nn.Parameter) -> Tensor:
        """The gradient with Nesterov's momentum."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix.grad)
        if self.found_inf is not None:  # the momentum itself leaves the momentum as it is
            own, kept = share_of(matrix.grad), share_of(state["momentum_buffer"])
            own.copy_(torch.where(self.found_inf.bool(), kept, own))
        momentum: Tensor = state["momentum_buffer"].lerp_(matrix.grad, 1 - _MOMENTUM)
        return matrix.grad.lerp(momentum, _MOMENTUM)

    def _move(self, matrix: nn.Parameter, update: Tensor, size: float, kept: float) -> None:
        own, along = share_of(matrix), share_of(update)
        if self.found_inf is None:
            own.mul_(kept).add_(along, alpha=size)
        else:
            own.copy_(torch.where(self.found_inf.bool(), own, (own * kept).add_(along, alpha=size)))


def orthogonal(matrix: Tensor) -> Tensor:
    """About U V' of the singular value decomposition U S V' of a matrix (m n), by Newton and Schulz's iteration.

    Singular values end between 0.5 and 1.5, which serves as well as 1.
    """
    a, b, c = _COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / x.norm().clamp(min=_LEAST_NORM)
    for _ in range(_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x
