"""Jumps: steps by the mean velocity that the network has learnt (MeanFlow, arXiv 2505.13447, Eq 12)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor

from pixelflow.core.interfaces import Field, Sampler


class Jump(Sampler):
    """``x + (t' - t) u(x, t, t')``, one evaluation a step: as good as the network's mean velocities ``u`` are.

    With a perfect network it has no error, whatever the step; the order stated is that of a network that knows only
    velocities, with which it is Euler's method. For runs whose objective trains jumps, such as `shortcut`, on a
    backbone that takes a second time (``until: true``).
    """

    order = 1
    nfe_per_step = 1

    class Params(Sampler.Params):
        type: Literal["jump"] = "jump"

        @property
        def jumps(self) -> bool:
            return True

    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        for now, after in pairwise(points):
            x = field.stepped(x + (after - now) * field.mean(x, now, after), after)
        return x
