"""The network, what conditions it, and what its output means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from pixelflow.core.component import Component, ComponentParams
from pixelflow.core.condition import Condition
from pixelflow.core.fields import field_of
from pixelflow.core.interfaces.data import Dataset
from pixelflow.core.query import Output, Query
from pixelflow.core.schedule import Stage


class Backbone(Component, nn.Module, ABC):
    """The network. Built with ``channels``, ``patches`` (one a stage) and ``context_dim`` (or None)."""

    kind = "backbone"

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self, *, channels: int, patches: Sequence[int], context_dim: int | None) -> Backbone: ...

        def check(self, patches: Sequence[int]) -> None:
            """Raise ValueError if these settings do not fit the patch sizes of the stages."""

    may_differ: ClassVar[frozenset[str]] = frozenset()
    """Settings in which a run may differ from the one that it starts from (``training.init_from``)."""
    width: int
    """Channels of the conditioning vector that it takes."""
    context_dim: int | None = None
    """Channels of the context tokens that it attends to; None if it attends to none."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass; set by the trainer, honoured by backbones that can."""

    @property
    def takes_until(self) -> bool:
        """Whether it understands ``Query.until``; what asks others for it is refused."""
        return False

    @property
    def tap_widths(self) -> Sequence[int]:
        """Channels of the hidden features that each tap gives; empty where there are none to be had."""
        return ()

    @property
    def compiled_parts(self) -> Sequence[nn.Module]:
        """The modules that ``training.compile`` compiles; repeated blocks alone compile faster than the whole."""
        return [self]

    @property
    def sharded_parts(self) -> Sequence[nn.Module]:
        """The modules that ``training.parallel: fsdp`` gathers one at a time; all else is gathered for a whole step.

        Each is called exactly once an evaluation, whatever stages a batch has, and all of its parameters take part.
        """
        return ()

    @property
    def ends(self) -> Sequence[nn.Module]:
        """The linear layers that take pixels in and give them out; Muon (``training.optimizer``) leaves them alone."""
        return ()

    @property
    def runs_in_16_bits(self) -> bool:
        """Whether it works without autocast when all its weights are in 16 bits, casting what it is asked."""
        return False

    @property
    def residual_blocks(self) -> tuple[nn.ModuleList, range]:
        """Blocks, and those among them that can be left out: neighbours which take tokens (n d) and give such alone."""
        return nn.ModuleList(), range(0)

    def block_macs(self, rows: int, cols: int, context_tokens: int) -> float:
        """Multiply-accumulates of one of these blocks, for one image of `rows` x `cols` tokens."""
        return 0.0

    @property
    def runs_in_graphs(self) -> bool:
        """Whether an evaluation depends on tensors by their shapes alone, and may be captured as a CUDA graph."""
        return False

    def shared(self, condition: Condition) -> Condition:
        """The condition with what evaluations at all times and states share of it, such as keys and values of text.

        Called once a sample, under the evaluations' autocast; `forward` must take conditions with and without it.
        """
        return condition

    @abstractmethod
    def forward(self, query: Query) -> Output:
        """One evaluation on a packed batch, with the hidden features that are asked for."""

    @abstractmethod
    def cost(self, rows: int, cols: int, stage: int, context_tokens: int) -> Cost:
        """Multiply-accumulates and activations of one image of `rows` x `cols` tokens."""


@dataclass(frozen=True)
class Cost:
    """What one evaluation of one image costs."""

    macs: float
    """Multiply-accumulates; twice as many floating-point operations."""
    attention_macs: float
    """Of these, in the attention products."""
    activations: float
    """Numbers that a training step keeps for the backward pass; with activation checkpointing, the most at any time."""


class Conditioner(Component, nn.Module, ABC):
    """Turns the values of one field into what the backbone is conditioned on. Built with ``width``."""

    kind = "conditioner"
    reads: ClassVar[str]
    """The field of a data sample that it takes: ``label``, ``caption``, or any other; see `pixelflow.core.fields`."""
    may_differ: ClassVar[frozenset[str]] = frozenset()
    """Settings in which a run may differ from the one that it starts from, and still take this part's weights over."""

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self, *, width: int) -> Conditioner: ...

        @property
        def context_dim(self) -> int | None:
            """Channels of the context tokens it gives, or None if it gives a vector only."""
            return None

        @property
        def context_tokens(self) -> int:
            """Context tokens of one image, at most."""
            return 0

        def resolved(self, dataset: Dataset) -> ComponentParams:
            """These settings with what only the data can tell filled in."""
            return self

    @classmethod
    def examples(cls) -> Sequence[object]:
        """Three different values that `prepare` takes, for the checks."""
        return field_of(cls.reads).examples

    def for_classes(self, weights: Mapping[str, Tensor], places: Sequence[int | None]) -> Mapping[str, Tensor] | None:
        """Weights of another conditioner of this type, whose labels count other classes, as weights of this one.

        Args:
            weights: the other's, by their names within it.
            places: the other's label of each label here; None where it lacks the class, which then starts fresh.

        Returns:
            None if they cannot be taken over so, as for whatever does not read labels.
        """
        return None

    @abstractmethod
    def prepare(self, values: Sequence[object]) -> Tensor:
        """Values of its field, one an image, to a tensor whose first axis is the batch.

        Raises:
            UsageError: a value that this conditioner does not know.
        """

    @abstractmethod
    def null(self, count: int) -> Tensor:
        """What `prepare` would give for `count` images without a condition."""

    @abstractmethod
    def forward(self, prepared: Tensor) -> Condition:
        """Prepared values (b ...) to a condition of b images."""


class Prediction(Component, ABC):
    """What the network's output means, and how it becomes a velocity."""

    kind = "prediction"

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self) -> Prediction: ...

    @abstractmethod
    def velocity(
        self, output: Tensor, x: Tensor, tau: Tensor, stage: Stage, blur: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Network output (b c h w) at the state `x` (b c h w) and time `tau` (b 1 1 1) to a velocity.

        `blur` is the cascade's up(down(.)).
        """


class Times(Component, ABC):
    """The distribution of the training times within a stage."""

    kind = "times"

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self) -> Times: ...

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` times tau in [0, 1), on the CPU."""
