"""Generation: solvers, where they evaluate, and guidance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from torch import Tensor

from pixelflow.core.component import Component, ComponentParams
from pixelflow.core.interfaces.operators import Upsampler
from pixelflow.core.schedule import Stage

Velocity = Callable[[Tensor, float], Tensor]
"""``velocity(x, tau)``: (b c h w), scalar -> (b c h w). All that a sampler sees."""


class Grid(Component, ABC):
    """The times at which a fixed-step sampler evaluates the velocity."""

    kind = "grid"

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self) -> Grid: ...

    @abstractmethod
    def points(self, steps: int) -> list[float]:
        """``steps + 1`` increasing times from 0 to 1."""


class NoiseSource(Protocol):
    """Where a generation takes its randomness from; each image has its own stream."""

    def white(self, channels: int, height: int, width: int) -> Tensor:
        """Standard white noise (b c h w)."""

    def renoising(self, up: Upsampler, channels: int, height: int, width: int) -> Tensor:
        """Unit-scale renoising noise (b c h w) for the stage that `up` leads to."""


class Field(Protocol):
    """The velocity of one stage, as a sampler sees it."""

    def __call__(self, x: Tensor, tau: float) -> Tensor:
        """Velocity (b c h w) of the state (b c h w) at `tau`."""

    def mean(self, x: Tensor, tau: float, until: float) -> Tensor:
        """Mean velocity (b c h w) from the state (b c h w) at `tau` to a later time, as the network has learnt it.

        Raises:
            UsageError: its backbone takes no second time.
        """

    def noise_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        """The noise n (b c h w) that a state and its velocity imply."""

    def noise_level(self, tau: float) -> float:
        """The factor b of the noise in the state at `tau`."""

    def stepped(self, x: Tensor, tau: float) -> Tensor:
        """The state (b c h w) to go on from after a step that led to `x` at `tau`.

        It is `x` itself, unless who watches the generation changes it.
        """


class Sampler(Component, ABC):
    """Integrates a velocity from tau = 0 to tau = 1 within one stage."""

    kind = "sampler"
    former_names: ClassVar = {"evaluations_per_step": "nfe_per_step"}
    order: ClassVar[int]
    """Order of convergence in the step size."""
    nfe_per_step: ClassVar[float]
    """Number of function evaluations: of the velocity, that one step costs; nan for adaptive solvers."""
    is_adaptive: ClassVar[bool] = False
    """Whether the solver chooses its own steps, by an error over the whole batch; settings ``rtol`` and ``atol``."""

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self) -> Sampler: ...

        @property
        def jumps(self) -> bool:
            """Whether it asks for mean velocities, ``field.mean``, which the run's objective must have trained."""
            return False

    def at(self, stage: Stage) -> Sampler:
        """The sampler as it works in one stage; for those that differ from stage to stage."""
        return self

    @abstractmethod
    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        """Carry the state (b c h w) from ``points[0]`` to ``points[-1]``.

        Args:
            points: increasing times; fixed-step solvers take one step between neighbours.
            noise: fresh white noise of the state's shape, for stochastic solvers.

        After every step, the last one too, ``x = field.stepped(x, tau)``.
        """


class Branches(Protocol):
    """The evaluations of one stage that a guidance may combine. Each call is a network evaluation."""

    stage: Stage

    def conditional(self, x: Tensor, tau: float) -> Tensor:
        """Velocity under the condition."""

    def unconditional(self, x: Tensor, tau: float) -> Tensor:
        """Velocity under the null condition."""

    def both(self, x: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        """(unconditional, conditional), in one batch."""

    def weak(self, x: Tensor, tau: float) -> Tensor:
        """Velocity of the weaker model, under the condition (autoguidance).

        Raises:
            UsageError: no weaker model was given.
        """

    def clean_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        """The clean image at this stage's resolution that a state and its velocity imply."""

    def velocity_from_clean(self, x: Tensor, clean: Tensor, tau: float) -> Tensor:
        """The inverse of `clean_estimate`."""


class Guidance(Component, ABC):
    """Combines conditional and other velocities into the one that is integrated.

    A guidance must spend exactly what `nfe` and `nfe_over` say, so that its cost is known without a network.
    """

    kind = "guidance"
    former_names: ClassVar = {"evaluations": "nfe"}

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self) -> Guidance: ...

        def check(self, stages: int) -> None:
            """Raise ValueError if these settings do not fit a cascade of `stages` stages."""

    @property
    def uses_null(self) -> bool:
        """Whether, with these settings, it asks its branches for the unconditional velocity."""
        return True

    @property
    def uses_weak(self) -> bool:
        """Whether, with these settings, it asks its branches for the velocity of a weaker model."""
        return False

    @abstractmethod
    def guide(self, branches: Branches) -> Velocity:
        """The guided velocity of one stage; called once at its start, so it may keep state within it."""

    @abstractmethod
    def nfe(self, stage: Stage, tau: float) -> int:
        """Number of function evaluations: of the network, an image, for one guided velocity at `tau` of `stage`.

        Those of a weaker model count too.

        Of a velocity that is asked for first in its stage; see `nfe_over`.
        """

    def nfe_over(self, stage: Stage, times: Sequence[float]) -> int:
        """The evaluations of guided velocities at these times, one after the other, from the stage's start on.

        A fixed-step sampler on the times ``points`` spends about those of ``points[:-1]``, times its
        ``nfe_per_step``.
        """
        return sum(self.nfe(stage, tau) for tau in times)
