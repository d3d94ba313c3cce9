"""Dormand and Prince's adaptive solver of order 5, from torchdiffeq (the paper's Table 3b)."""

from __future__ import annotations

from typing import Literal

from pixelflow.samplers.adaptive import AdaptiveSolver


class Dopri5(AdaptiveSolver):
    """The paper's best sampler; six evaluations for each step that it tries."""

    order = 5

    class Params(AdaptiveSolver.Params):
        type: Literal["dopri5"] = "dopri5"
