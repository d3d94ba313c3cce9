"""Putting saved weights into a model that was made without drawing any, with every name and shape checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
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
_SAME: Any = (Tensor.detach, vars(torch._C.TensorBase)["data"].__get__)
"""What gives a parameter's own numbers, without its gradient."""
_IS_META: Any = vars(torch._C.TensorBase)["is_meta"].__get__
_LIKE = {
    Tensor.new_tensor, Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones, Tensor.new_full,
    torch.empty_like, torch.zeros_like, torch.ones_like,
}  # fmt: skip
"""What asks a tensor for its shape, type and device alone."""
_SHOWN = 3
"""Names of each kind in an error."""


PARTS = {"ema": "ema", "raw": "model"}
"""Names of weights -> the parts of a checkpoint that hold them."""


def title_of(part: str) -> str:
    """What people call a part of a checkpoint; the reverse of `PARTS`."""
    return next((weights for weights, own in PARTS.items() if own == part), part)


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


class InShares(TorchFunctionMode):
    """Within, parameters are made on the meta device, and of their values a share is kept: nothing is ever whole.

    Initialisers fill one parameter after the other. Each is whole, in main memory, from when it is made or filled
    until another one is; so values are those that it would have without this, drawn in the same order.
    """

    def __init__(self, cut: Callable[[Tensor], Tensor], *, draw: bool) -> None:
        """Cut: the share of a whole tensor. Without `draw` values are left to chance, as with `SkipInit`."""
        super().__init__()
        self._cut, self._draw = cut, draw
        self._parameters, self._shares = dict[int, nn.Parameter](), dict[int, Tensor]()
        self._whole: tuple[int, Tensor] | None = None

    def __enter__(self) -> Self:
        hook: Callable[..., Any] = self._on_meta
        self._hook = register_module_parameter_registration_hook(hook)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._hook.remove()
        self._put_down()

    def of(self, model: nn.Module) -> dict[str, Tensor]:
        """The shares of its parameters, by name."""
        named = model.named_parameters(remove_duplicate=False)
        return {name: self._shares[id(one)] for name, one in named if id(one) in self._shares}

    def _on_meta(self, module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        """A registered parameter without its memory; one that an initialiser has made already keeps its values."""
        if parameter is None or id(parameter) in self._parameters:
            return None
        made = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad)
        self._put_down()
        self._parameters[id(made)] = made
        self._whole = id(made), parameter.detach()
        return made

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        own = next((one for one in (*args, *given.values()) if id(one) in self._parameters), None)
        if own is None or func is Tensor.requires_grad_:
            return func(*args, **given)
        if func in _SAME:
            return own
        if func == _IS_META:  # some of torch's initialisers leave such alone
            return False
        if func in _LIKE:
            return func(*(torch.empty(one.shape, dtype=one.dtype) if one is own else one for one in args), **given)
        if func in _FILLS or func is Tensor.copy_:
            self._take_up(own)
            if not self._draw:
                return own
        else:
            with torch.no_grad():
                asked = func(*args, **given)
            if not (isinstance(asked, Tensor) or func is Tensor.__setitem__):
                return asked  # of shapes and the like
        if self._whole is None or self._whole[0] != id(own):
            raise UsageError(
                "a parameter's first values are changed again after those of others, which training.parallel=fsdp and "
                "hybrid cannot follow; train with training.parallel=ddp"
            )
        whole = self._whole[1]
        in_place = {name: whole if value is own else value for name, value in given.items()}
        found = func(*(whole if value is own else value for value in args), **in_place)
        return own if found is whole else found

    def _take_up(self, own: nn.Parameter) -> None:
        """Make a parameter the one that is whole."""
        if self._whole is None or self._whole[0] != id(own):
            self._put_down()
            self._whole = id(own), torch.empty(own.shape, dtype=own.dtype)

    def _put_down(self) -> None:
        """Keep a share of the one that is whole."""
        if self._whole is not None:
            self._keep(*self._whole)
            self._whole = None

    def _keep(self, parameter: int, whole: Tensor) -> None:
        if self._draw:
            self._shares[parameter] = self._cut(whole)


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
