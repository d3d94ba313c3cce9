"""What the processes that train together hold of a model: the one seam to torch's engines for that, DDP and FSDP2.

The loop knows an `Engine` alone: it wraps what is trained, and says what of a tensor is this process's.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from pixelflow.system.errors import UsageError
from pixelflow.system.lockstep import InStep
from pixelflow.system.parallel import Parallel

Mode = Literal["ddp", "fsdp", "hybrid"]


def engine_for(parallel: Parallel, mode: Mode, *, half: bool = False) -> Engine:
    """How these processes train one model.

    Args:
        half: parameters are gathered in bfloat16; gradients are averaged in float32 all the same.

    Raises:
        UsageError: this torch has no FSDP2, or the machines have not equally many processes.
    """
    if parallel.size == 1:
        return Engine(parallel)
    if mode == "ddp":
        return Replicas(parallel)
    return Shards(parallel, parallel.local_size if mode == "hybrid" else parallel.size, half)


class Engine:
    """One process, which holds everything; others differ in what they say here."""

    shards, shard = 1, 0
    """The shares that a model is cut into, and which of them is this process's."""
    cuts = False
    """Whether each process holds its share only."""

    def __init__(self, parallel: Parallel) -> None:
        self.parallel = parallel

    def wrap(self, objective: nn.Module, blocks: Iterable[nn.Module], average: nn.Module) -> nn.Module:
        """The module to call in place of the objective, within `part`.

        A parameter that no process has a gradient for has none afterwards either, as with one process; where only some
        have one, the others count as zero.

        Args:
            blocks: what `Shards` gathers one at a time. Each is called as often by every process, and every parameter
                of it takes part.
            average: of the trained weights; the objective may ask it too.
        """
        return objective

    @contextmanager
    def part(self, wrapped: nn.Module, index: int, parts: int) -> Iterator[None]:
        """Within, one part of a step runs forward and backward; after the last, gradients are means over all."""
        yield

    def clip(self, parameters: Iterable[nn.Parameter], largest: float | None) -> Tensor:
        """Scale the gradient down to the largest norm; returns its norm before that, a scalar on the device."""
        norm = nn.utils.clip_grad_norm_(parameters, math.inf if largest is None else largest)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def cut(self, whole: Tensor) -> Tensor:
        """The share of a parameter, or of what belongs to one, that this process holds; on its device."""
        return whole

    def whole(self, tensor: Tensor) -> Tensor:
        """All shares of one together, in all processes at once."""
        return tensor

    def local(self, tensor: Tensor) -> Tensor:
        """The share that lies here, in the same memory."""
        return tensor

    def own(self, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What this process writes of tensors: together, all processes write each number once."""
        return dict(named) if self.parallel.is_first else {}


class _Idle(nn.Module):
    """A module beside a parameter that nothing uses: without one, torch warns that it looks for such in vain."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.idle = nn.Parameter(torch.zeros((), device=next(inner.parameters()).device))

    def forward(self, *given: Any) -> Any:
        return self.inner(*given)


class Replicas(Engine):
    """Every process holds everything. Gradients are views of the buckets in which they are averaged: no second copy."""

    def wrap(self, objective: nn.Module, blocks: Iterable[nn.Module], average: nn.Module) -> nn.Module:
        with warnings.catch_warnings():  # newer versions of torch call broadcast_buffers otherwise
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(
                _Idle(objective), gradient_as_bucket_view=True, broadcast_buffers=False, find_unused_parameters=True
            )

    @contextmanager
    def part(self, wrapped: nn.Module, index: int, parts: int) -> Iterator[None]:
        assert isinstance(wrapped, DistributedDataParallel)
        if index == parts - 1:
            yield
            return
        with wrapped.no_sync():
            yield


class Shards(Engine):
    """Each process holds a share of every parameter, of its gradient and of all that belongs to it.

    The first axis is cut. With fewer shares than processes, groups of processes hold a model each.
    """

    cuts = True

    def __init__(self, parallel: Parallel, shards: int, half: bool) -> None:
        super().__init__(parallel)
        if "src_data_rank" not in inspect.signature(distribute_tensor).parameters:
            raise UsageError(f"training.parallel fsdp and hybrid need torch 2.7 or newer; this is {torch.__version__}")
        if parallel.size % shards:
            raise UsageError(f"training.parallel hybrid: {parallel.size} processes are not {shards} on every machine")
        replicas = parallel.size // shards
        shape, names = ((shards,), ("shards",)) if replicas == 1 else ((replicas, shards), ("replicas", "shards"))
        self._mesh = init_device_mesh(parallel.device.type, shape, mesh_dim_names=names)
        self._placements = [Shard(0)] if replicas == 1 else [Replicate(), Shard(0)]
        self.shards, self.shard = shards, self._mesh.get_local_rank("shards")
        self._half = half

    def wrap(self, objective: nn.Module, blocks: Iterable[nn.Module], average: nn.Module) -> nn.Module:
        """Frozen networks stay whole, but for those that lie on the meta device as what is trained does."""
        frozen = {one for one in objective.parameters() if not (one.requires_grad or one.is_meta)}
        for block in blocks:
            self._shard(block)
        wrapped = self._shard(InStep(objective), frozen)
        if any(type(one) is nn.Parameter for one in average.parameters()):  # the objective does not ask it
            self._shard(average)
        return wrapped

    def _shard(self, module: nn.Module, ignored: set[nn.Parameter] | None = None) -> nn.Module:
        """Cut what is not cut yet of a module's parameters; they are gathered while it runs."""
        held = torch.bfloat16 if self._half else None
        policy = MixedPrecisionPolicy(param_dtype=held, reduce_dtype=torch.float32, cast_forward_inputs=False)
        fully_shard(module, mesh=self._mesh, mp_policy=policy, ignored_params=ignored)
        return module

    @contextmanager
    def part(self, wrapped: nn.Module, index: int, parts: int) -> Iterator[None]:
        """The shares' gradients are summed with each part, so that none is ever whole."""
        assert isinstance(wrapped, InStep)
        if isinstance(wrapped, FSDPModule):
            wrapped.set_requires_all_reduce(index == parts - 1)
        yield
        if index == parts - 1:
            wrapped.forget_unused(self.parallel)

    def cut(self, whole: Tensor) -> Tensor:
        placed = whole.to(self.parallel.device).contiguous()
        share = distribute_tensor(placed, self._mesh, self._placements, src_data_rank=None).to_local()
        own = share.clone()  # torch's is a view, which would keep the whole in memory
        size, stride = placed.shape, placed.stride()
        return DTensor.from_local(own, self._mesh, self._placements, run_check=False, shape=size, stride=stride)

    def whole(self, tensor: Tensor) -> Tensor:
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def local(self, tensor: Tensor) -> Tensor:
        return share_of(tensor)

    def own(self, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Shares of the first model, and in the first process what is whole everywhere."""
        return {name: self.local(tensor) for name, tensor in named.items() if self._writes(tensor)}

    def _writes(self, tensor: Tensor) -> bool:
        if isinstance(tensor, DTensor):
            return self.parallel.rank < self.shards and len(tensor.to_local()) > 0
        return self.parallel.is_first


def share_of(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; writing to it changes the tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
