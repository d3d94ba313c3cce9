"""Putting saved weights into a model that was made without drawing any, with every name and shape checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pixelflow.core.model import FlowModel
from pixelflow.system.errors import DataError, UsageError

_FILLS = {
    Tensor.uniform_, Tensor.normal_, Tensor.zero_, Tensor.fill_,
    nn.init.uniform_, nn.init.normal_, nn.init.constant_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_,
}  # fmt: skip
"""What initialisers end in; of torch's own, some reach a mode whole, the others by the tensor methods they call."""
_ALIGNMENT = 64
"""Bytes."""
_SHOWN = 3
"""Names of each kind in an error."""


_PARTS = {"ema": "ema", "raw": "model"}


def part_of(weights: str) -> str:
    """The part of a checkpoint that holds these weights; raises UsageError on unknown ones."""
    if weights not in _PARTS:
        raise UsageError(f"weights {weights!r} are unknown; use one of: {', '.join(_PARTS)}")
    return _PARTS[weights]


def title_of(part: str) -> str:
    """What people call a part of a checkpoint; the reverse of `part_of`."""
    return next((weights for weights, own in _PARTS.items() if own == part), part)


class SkipInit(TorchFunctionMode):
    """Within, modules leave the values of new parameters to chance: for a model whose weights are loaded next.

    Only filling a parameter is skipped, so buffers, saved or not, are what they always are.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        given = dict(kwargs or {})
        target = args[0] if args else given.get("tensor")
        return target if func in _FILLS and isinstance(target, nn.Parameter) else func(*args, **given)


def load_weights(model: FlowModel, weights: Mapping[str, Tensor], source: str) -> None:
    """Make weights the model's own, all or none, without copying those that are as the model needs them.

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
    fitting = {name: aligned(weights[name].to(tensor.dtype)) for name, tensor in own.items()}
    model.load_state_dict(fitting, assign=True)


def aligned(tensor: Tensor) -> Tensor:
    """The tensor where torch's own would lie: a multiple of 64 bytes.

    A file's lie wherever its header ends, and matrix products on a CPU round by that.
    """
    return tensor if tensor.data_ptr() % _ALIGNMENT == 0 else tensor.clone()


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
