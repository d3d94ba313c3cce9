"""Putting saved weights into a model, with every name and shape checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from pixelflow.core.errors import DataError
from pixelflow.core.model import FlowModel

_SHOWN = 3
"""Names of each kind in an error."""


def load_weights(model: FlowModel, weights: Mapping[str, Tensor], source: str) -> None:
    """Put weights into a model, all or none.

    Raises:
        DataError: names or shapes differ; one line with some of each kind.
    """
    own = model.state_dict()
    misshapen = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    faults = {
        "missing": [name for name in own if name not in weights],
        "unknown": [name for name in weights if name not in own],
        "of another shape": misshapen,
    }
    found = "; ".join(f"{kind}: {_some(names)}" for kind, names in faults.items() if names)
    if found:
        raise DataError(f"{source}: the weights do not fit the spec of the run ({found})")
    model.load_state_dict(weights)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
