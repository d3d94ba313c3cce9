"""Evaluations replayed as CUDA graphs: in small batches a GPU waits for the launches of a network's kernels."""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pixelflow.core.component import Compile
from pixelflow.core.condition import Condition
from pixelflow.core.interfaces import Backbone
from pixelflow.core.query import Output, Query

_LARGEST = 5e13
"""FLOP of an evaluation at the last stage up to which it pays; a tenth of a second of a large GPU hides launches."""
_AS_THEY_ARE = 2
"""Evaluations of a kind before it is captured; they compile, choose kernels and fill caches, which a capture cannot."""
_MOST = 32
"""Graphs of one drawing; text of ever new lengths would make more and more of them."""

Capture = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""What records an evaluation: gives what replays it, and the tensor in which each replay leaves its result."""

logger = logging.getLogger(__name__)


def wanted(setting: Compile, backbone: Backbone, flop: float) -> bool:
    """Whether a backbone's evaluations are replayed, the largest of which has so many floating-point operations.

    What is wanted and cannot be had is said, and left out.
    """
    device = _device(backbone)
    if setting is not True:
        return setting == "auto" and device.type == "cuda" and backbone.runs_in_graphs and flop <= _LARGEST
    if device.type != "cuda":
        logger.warning("sampling.cuda_graphs: there are none on the %s; evaluations run without", device.type)
    elif not backbone.runs_in_graphs:
        logger.warning("sampling.cuda_graphs: the backbone %s runs without", backbone.type_name())
    else:
        return True
    return False


class Replayed:
    """A backbone's `forward`, replayed for every kind of query (stage, shapes) that has come twice before.

    For one drawing: it keeps a copy of a batch's conditions, and memory for the largest evaluation.
    """

    def __init__(self, backbone: Backbone, capture: Capture | None = None) -> None:
        self._forward, self._device = backbone.forward, _device(backbone)
        self._capture = capture or _CudaCapture()
        self._met = Counter[Hashable]()
        self._conditions = dict[Hashable, _Held]()
        self._graphs = dict[Hashable, _Graph]()
        self._has_failed = False

    def __call__(self, query: Query) -> Output:
        if self._has_failed or len(query.images) > 1 or query.until is not None or query.taps or self._has_autocast:
            return self._forward(query)
        (x,), key = query.images, _shapes(query.condition)
        kind = (query.stages[0], x.shape, x.dtype, key)
        self._met[kind] += 1
        if self._met[kind] <= _AS_THEY_ARE or (len(self._graphs) == _MOST and kind not in self._graphs):
            return self._forward(query)
        if key not in self._conditions:
            self._conditions[key] = _Held(query.condition)
        held = self._conditions[key]
        held.take(query.condition)
        if kind not in self._graphs:
            try:
                self._graphs[kind] = _Graph(self._forward, replace(query, condition=held.condition), self._capture)
            except RuntimeError as error:
                self._has_failed = True
                logger.warning("evaluations run without CUDA graphs: %s", " ".join(str(error).split())[:200])
                return self._forward(query)
        return self._graphs[kind](query)

    @property
    def _has_autocast(self) -> bool:
        """Within it weights are cast anew, into memory that a graph would still read when it is gone."""
        return torch.is_autocast_enabled(self._device.type)


class _Held:
    """The conditions of the present batch, always in the same memory."""

    def __init__(self, condition: Condition) -> None:
        self.condition = Condition(*(_mapped(part, torch.clone) for part in _parts(condition)))
        self._of = weakref.ref(condition)

    def take(self, condition: Condition) -> None:
        """Copy what is asked now, unless it is there."""
        if self._of() is not condition:
            for own, given in zip(_tensors(_parts(self.condition)), _tensors(_parts(condition)), strict=True):
                own.copy_(given)
            self._of = weakref.ref(condition)


class _Graph:
    """One kind of query, with memory for what changes from one to the next."""

    def __init__(self, forward: Callable[[Query], Output], query: Query, capture: Capture) -> None:
        self._given = [query.images[0].clone(), query.time.clone()]
        own = replace(query, images=self._given[:1], time=self._given[1])
        self._replay, self._output = capture(lambda: forward(own).groups[0])

    def __call__(self, query: Query) -> Output:
        for own, given in zip(self._given, (query.images[0], query.time), strict=True):
            own.copy_(given)
        self._replay()
        return Output([self._output.clone()])


class _CudaCapture:
    """Graphs that share memory, for one runs at a time and its result is copied at once."""

    @cached_property
    def _pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    def __call__(self, evaluate: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            output = evaluate()
        graph.replay()
        return graph.replay, output


def _device(backbone: Backbone) -> torch.device:
    return next(backbone.parameters()).device


def _parts(condition: Condition) -> tuple[Any, ...]:
    return condition.vector, condition.tokens, condition.mask, condition.shared


def _mapped(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Tensors in lists and tuples of any depth, each through a function."""
    if isinstance(value, Tensor):
        return function(value)
    return type(value)(_mapped(one, function) for one in value) if isinstance(value, (list, tuple)) else value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)


def _shapes(condition: Condition) -> Hashable:
    """What conditions have in common that can lie in the same memory, one after the other."""
    parts = _parts(condition)
    return (*(part is None for part in parts), *((tensor.shape, tensor.dtype) for tensor in _tensors(parts)))
