"""What every component of a kind must keep, checked by running it.

The project's own tests run these checks over all built-ins; ``pixelflow check-plugin`` runs them over a plugin's
components, and a plugin's tests can call `check` themselves.
"""

from __future__ import annotations

from pixelflow.contracts import (
    data,
    exact,
    guidance,
    networks,
    objectives,
    operators,
    rewriters,
    samplers,
    settings,
    training,
)
from pixelflow.contracts.checking import Check, ContractError, Outcome, run
from pixelflow.core.component import ComponentParams

__all__ = ["CHECKS", "Check", "ContractError", "Outcome", "check", "checks_of"]

CHECKS: dict[str, tuple[Check, ...]] = {
    "downsampler": (*operators.DOWN_CHECKS, exact.down_is_exact),
    "upsampler": (*operators.UP_CHECKS, exact.up_is_exact),
    "backbone": networks.BACKBONE_CHECKS,
    "conditioner": networks.CONDITIONER_CHECKS,
    "prediction": objectives.PREDICTION_CHECKS,
    "times": objectives.TIMES_CHECKS,
    "objective": training.OBJECTIVE_CHECKS,
    "weighting": training.WEIGHTING_CHECKS,
    "term": training.TERM_CHECKS,
    "grid": samplers.GRID_CHECKS,
    "sampler": (*samplers.CHECKS, exact.converges),
    "guidance": guidance.CHECKS,
    "dataset": data.DATASET_CHECKS,
    "extractor": data.EXTRACTOR_CHECKS,
    "metric": data.METRIC_CHECKS,
    "rewriter": rewriters.CHECKS,
}
"""The checks of each kind, beside those of every component's settings."""


def checks_of(kind: str) -> tuple[Check, ...]:
    """All checks of a kind; raises KeyError on an unknown one."""
    return (*settings.CHECKS, *CHECKS[kind])


def check(params: ComponentParams) -> list[Outcome]:
    """Run every check on the component that these settings describe."""
    return [run(one, params) for one in checks_of(params.component.kind)]
