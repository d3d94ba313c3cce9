"""Running checks: each is a function of a component's settings that raises ContractError."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pixelflow.system.errors import MissingDependencyError, MissingInputError

Check = Callable[[Any], None]
"""``check(params)``; its docstring's first line is the promise that it checks."""


class ContractError(AssertionError):
    """A component does not keep a promise of its kind; the message says which and how it was seen."""


@dataclass(frozen=True)
class Outcome:
    """What one check found."""

    promise: str
    status: Literal["kept", "broken", "not checked"]
    reason: str = ""


def run(check: Check, params: object) -> Outcome:
    """Run one check; what it raises becomes the outcome's reason."""
    promise = (check.__doc__ or check.__name__).splitlines()[0]
    try:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            check(params)
    except ContractError as error:
        return Outcome(promise, "broken", str(error))
    except (MissingDependencyError, MissingInputError) as error:
        return Outcome(promise, "not checked", str(error))
    except Exception as error:
        return Outcome(promise, "broken", f"{type(error).__name__}: {' '.join(str(error).split())}")
    return Outcome(promise, "kept")


def expect(condition: bool, otherwise: str) -> None:
    """Raise ContractError, saying `otherwise`, unless the condition holds."""
    if not condition:
        raise ContractError(otherwise)


def expect_like(got: object, shape: Sequence[int], dtype: torch.dtype, what: str) -> None:
    """Raise ContractError unless `got` is a finite tensor of this shape and dtype."""
    if not isinstance(got, Tensor):
        raise ContractError(f"{what} is a {type(got).__name__}, not a tensor")
    expect(tuple(got.shape) == tuple(shape), f"{what} has shape {tuple(got.shape)}, not {tuple(shape)}")
    expect(got.dtype == dtype, f"{what} is {got.dtype}, not {dtype}")
    expect(bool(got.isfinite().all()), f"{what} is not finite")


def expect_close(got: Tensor, wanted: Tensor, tolerance: float, what: str) -> None:
    """Raise ContractError unless both agree to `tolerance` of the larger one's size."""
    got, wanted = got.detach(), wanted.detach()
    scale = max(float(wanted.abs().max()), float(got.abs().max()), 1e-12)
    error = float((got - wanted).abs().max()) / scale
    expect(error <= tolerance, f"{what} (relative error {error:.1e})")


def expect_gradient(output: Tensor, leaf: Tensor, what: str) -> None:
    """Raise ContractError unless a finite gradient, not all zero, flows from `output` to `leaf`."""
    expect(output.requires_grad, f"{what} lets no gradient through")
    (gradient,) = torch.autograd.grad(output.square().sum(), leaf, allow_unused=True)
    expect(gradient is not None and bool(gradient.abs().sum() > 0), f"{what} lets no gradient through")
    expect(bool(gradient.isfinite().all()), f"the gradient through {what} is not finite")
