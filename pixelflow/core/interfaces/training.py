"""What a network is trained on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from pixelflow.core.component import Component, ComponentParams
from pixelflow.core.interfaces.network import Prediction, Times
from pixelflow.core.problems import problem
from pixelflow.core.schedule import Stage
from pixelflow.core.slots import Slot
from pixelflow.core.teacher import Teacher
from pixelflow.core.work import Answer, Work

AnyPrediction = Annotated[Prediction.Params, Slot("prediction")]
AnyTimes = Annotated[Times.Params, Slot("times")]
Shares = tuple[Annotated[float, Field(ge=0)], ...]


class Network(Protocol):
    """A network as an objective sees it. Each call is one evaluation of all groups of a work."""

    @property
    def tap_widths(self) -> Sequence[int]:
        """Channels of the hidden features at each tap; empty where it gives none."""

    def __call__(
        self,
        work: Work,
        *,
        until: Sequence[Tensor] | None = None,
        taps: Sequence[int] = (),
        guidance: float | None = None,
    ) -> Answer:
        """Velocities at the work's states, and hidden features.

        Args:
            until: one (n) a group, later times of its stage: mean velocities up to these are asked for.
            taps: places in the network; see `Backbone.tap_widths`.
            guidance: weight of classifier-free guidance; the null condition then costs a second evaluation.

        Raises:
            UsageError: its backbone takes no second time, or has no such tap.
        """


class Weighting(Component, ABC):
    """How much the loss of an image counts, by its time."""

    kind = "weighting"

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self) -> Weighting: ...

        def check(self, stages: int) -> None:
            """Raise ValueError if these settings do not fit a cascade of `stages` stages."""

    @abstractmethod
    def weights(self, tau: Tensor, stage: Stage) -> Tensor:
        """Times (n) in a stage -> factors (n) of the squared error of the velocity, at least 0."""


class Term(Component, nn.Module, ABC):
    """A loss beside the one on the velocity; it may have weights of its own, which are trained along.

    Built with ``device`` and ``tap_widths``, those of the network.
    """

    kind = "term"

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self, *, device: torch.device, tap_widths: Sequence[int]) -> Term: ...

        scale: float = Field(default=1.0, ge=0)
        """Factor on it, beside the loss on the velocity."""

    def __init__(self, params: Params, *, device: torch.device, tap_widths: Sequence[int]) -> None:
        super().__init__(params)
        self.device, self.tap_widths = device, tap_widths

    @property
    def taps(self) -> Sequence[int]:
        """The hidden features that it wants to see."""
        return ()

    @abstractmethod
    def forward(self, answer: Answer) -> list[Tensor]:
        """One (n) of losses for each group of the answer's work, before they are scaled."""


class Objective(Component, nn.Module, ABC):
    """What a network is trained on: the module that is wrapped where several devices train together.

    Built with ``network``, ``second`` (its `teacher`, where `Params.second_network` names one) and ``device``.
    """

    kind = "objective"

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self, *, network: Network, second: Network | None = ..., device: torch.device) -> Objective: ...

        prediction: AnyPrediction = Field(default="velocity")  # type: ignore[assignment]
        """What the network's output means."""
        times: AnyTimes = Field(default="uniform")  # type: ignore[assignment]
        """Distribution of the times within a stage."""
        stage_mix: Shares | None = Field(default=None)
        """Share of each stage in a batch, coarse to fine; by default equal shares."""
        condition_dropout: float = Field(default=0.1, ge=0, le=1)
        """Probability with which an image is trained without its condition, for guidance."""

        @property
        def second_network(self) -> Teacher | Literal["ema"] | None:
            """A second, frozen network that it asks: a run's, the average of the one that is trained, or none."""
            return None

        @property
        def trains_jumps(self) -> bool:
            """Whether it trains mean velocities ``u(x, t, t')``, which samplers that jump ask for."""
            return False

        def check(self, stages: int) -> None:
            """Raise ValueError if these settings do not fit a cascade of `stages` stages."""
            mix = self.stage_mix
            if mix is not None and (len(mix) != stages or sum(mix) <= 0):
                raise problem(f"needs {stages} shares, one a stage, not all 0", "stage_mix")

    def __init__(
        self, params: Params, *, network: Network, second: Network | None = None, device: torch.device
    ) -> None:
        super().__init__(params)
        self.network = network
        self.teacher = second
        self.device = device

    @abstractmethod
    def forward(self, work: Work) -> list[Tensor]:
        """One (n) of losses for each group of the work, in float32."""
