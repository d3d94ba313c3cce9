"""The kinds of components and what each promises, with shapes in einops words.

Images are (b c h w) in [-1, 1]. ``tau`` in [0, 1] is the time inside a stage; ``time`` in [0, 1000) is the time
that the network sees (see `pixelflow.core.schedule`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pixelflow.core import renoising
from pixelflow.core.component import Component, ComponentParams
from pixelflow.core.condition import Condition
from pixelflow.core.schedule import Stage

Array = NDArray[np.float64]
Velocity = Callable[[Tensor, float], Tensor]
"""``velocity(x, tau)``: (b c h w), scalar -> (b c h w). All that a sampler sees."""


class Downsampler(Component, ABC):
    """Halves the resolution; linear, the same for every channel."""

    kind = "downsampler"

    class Params(ComponentParams):
        pass

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """(b c 2h 2w) -> (b c h w)"""

    @property
    def brightness(self) -> float:
        """Factor on the mean value of a constant image; pictures of coarse stages are divided by it."""
        return 1.0


class Upsampler(Component, ABC):
    """Doubles the resolution; linear, the same for every channel; owns the renoising that follows it.

    Only ``__call__`` has to be given: gain and noise are then derived from the measured 1-D matrices.
    """

    kind = "upsampler"

    class Params(ComponentParams):
        pass

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """(b c h w) -> (b c 2h 2w)"""

    @cached_property
    def gain(self) -> float:
        """Largest singular value g of the operator, over all sizes."""
        renoising.check_separable(self, self.type_name())
        return renoising.measured_gain(self)

    def noise_scale(self, height: int, width: int) -> float:
        """Root mean variance of ``g^2 I - U U^T`` for images of `height` x `width` after upsampling."""
        return self._noise(height, width).scale

    def shape_noise(self, white: Tensor) -> Tensor:
        """White noise (b c 2h 2w) to noise of covariance ``g^2 I - U U^T``, scaled to unit mean variance."""
        return self._noise(*white.shape[-2:])(white)

    def _noise(self, height: int, width: int) -> renoising.SeparableNoise:
        cache = self.__dict__.setdefault("_noise_of_size", {})
        if (height, width) not in cache:
            cache[height, width] = renoising.SeparableNoise(self, self.gain, height, width)
        return cache[height, width]


class Backbone(Component, nn.Module, ABC):
    """The network. Built with ``channels``, ``patches`` (one a stage) and ``context_dim`` (or None)."""

    kind = "backbone"

    class Params(ComponentParams):
        pass

    may_differ: ClassVar[frozenset[str]] = frozenset()
    """Settings in which a run may differ from the one that it starts from (``training.init_from``)."""
    width: int
    """Channels of the conditioning vector that it takes."""
    context_dim: int | None = None
    """Channels of the context tokens that it attends to; None if it attends to none."""
    checkpointing: bool = False
    """Recompute activations in the backward pass; set by the trainer, honoured by backbones that can."""

    @property
    def compiled_parts(self) -> Sequence[nn.Module]:
        """The modules that ``training.compile`` compiles; repeated blocks alone compile faster than the whole."""
        return [self]

    @abstractmethod
    def forward(
        self, images: Sequence[Tensor], stages: Sequence[int], time: Tensor, condition: Condition
    ) -> list[Tensor]:
        """One evaluation on a packed batch.

        Args:
            images: groups (b_i c h_i w_i) of equal shape and stage.
            stages: the stage of each group.
            time: (b) network time of each image, over all groups in order.
            condition: of all images in the same order.

        Returns:
            one (b_i c h_i w_i) a group.
        """

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
    """Numbers that a training step keeps for the backward pass; with `Backbone.checkpointing`, the most at any time."""


class Conditioner(Component, nn.Module, ABC):
    """Turns labels or captions into what the backbone is conditioned on. Built with ``width``."""

    kind = "conditioner"
    reads: ClassVar[Literal["label", "caption"]]
    """The field of a data sample that it takes."""
    may_differ: ClassVar[frozenset[str]] = frozenset()
    """Settings in which a run may differ from the one that it starts from, and still take this part's weights over."""

    class Params(ComponentParams):
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

    @abstractmethod
    def prepare(self, values: Sequence[Any]) -> Tensor:
        """Raw labels or captions to a tensor whose first axis is the batch.

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
        pass

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
        pass

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` times tau in [0, 1), on the CPU."""


class Grid(Component, ABC):
    """The times at which a fixed-step sampler evaluates the velocity."""

    kind = "grid"

    class Params(ComponentParams):
        pass

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

    def noise_estimate(self, x: Tensor, velocity: Tensor, tau: float) -> Tensor:
        """The noise n (b c h w) that a state and its velocity imply."""

    def noise_level(self, tau: float) -> float:
        """The factor b of the noise in the state at `tau`."""


class Sampler(Component, ABC):
    """Integrates a velocity from tau = 0 to tau = 1 within one stage."""

    kind = "sampler"
    order: ClassVar[int]
    """Order of convergence in the step size."""
    evaluations_per_step: ClassVar[float]
    """Evaluations of the velocity that one step costs; nan for adaptive solvers."""
    is_adaptive: ClassVar[bool] = False
    """Whether the solver chooses its own steps, by an error over the whole batch; settings ``rtol`` and ``atol``."""

    class Params(ComponentParams):
        pass

    @abstractmethod
    def integrate(self, field: Field, x: Tensor, points: Sequence[float], noise: Callable[[], Tensor]) -> Tensor:
        """Carry the state (b c h w) from ``points[0]`` to ``points[-1]``.

        Args:
            points: increasing times; fixed-step solvers take one step between neighbours.
            noise: fresh white noise of the state's shape, for stochastic solvers.
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

    A guidance must spend exactly what `evaluations` says, so that its cost is known without a network.
    """

    kind = "guidance"

    class Params(ComponentParams):
        def check(self, stages: int) -> None:
            """Raise ValueError if these settings do not fit a cascade of `stages` stages."""

    @abstractmethod
    def guide(self, branches: Branches) -> Velocity:
        """The guided velocity of one stage; called once at its start, so it may keep state within it."""

    @abstractmethod
    def evaluations(self, stage: Stage, tau: float) -> int:
        """Network evaluations an image that one guided velocity at `tau` of `stage` costs, a weaker model's too.

        A fixed-step sampler on the times ``points`` spends about the sum over ``points[:-1]``, times its
        ``evaluations_per_step``.
        """


@dataclass(frozen=True)
class Sample:
    """One element of a data set."""

    image: Tensor
    """(c h w) in [-1, 1]"""
    label: int | None = None
    caption: str | None = None


class Dataset(Component, ABC):
    """A map-style data set. Built with ``height``, ``width`` and ``channels``; must pickle, for workers."""

    kind = "dataset"

    class Params(ComponentParams):
        def plain(self) -> ComponentParams:
            """These settings without augmentation, as evaluation reads the data."""
            return self

    keeps_shape: ClassVar[bool] = False
    """Whether it also takes ``sizes``, of which an image has the one that suits it best (``image.max_aspect``)."""
    classes: tuple[str, ...] = ()
    """Names of the labels; empty for unlabelled data."""

    @property
    def fingerprint(self) -> str:
        """Changes when the images may have; data that lie in files must add to the settings what tells of a change."""
        return self.params.model_dump_json()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def sample(self, index: int, generator: torch.Generator) -> Sample | BadSample:
        """Element `index`, augmented with randomness from `generator` alone."""

    def captions(self, index: int) -> Sequence[str]:
        """All captions that element `index` may show, none if it cannot be read; fast where no image has to be."""
        sample = self.sample(index, torch.Generator())
        return [sample.caption] if isinstance(sample, Sample) and sample.caption is not None else []


@dataclass(frozen=True)
class BadSample:
    """An element that could not be read, in place of a sample."""

    where: str
    reason: str


@dataclass(frozen=True)
class ImageBatch:
    """Images to measure."""

    images: Tensor
    """(b c h w) in [-1, 1], on the CPU"""
    labels: list[int] | None = None
    """What each image shows, or was generated to show; None for unlabelled images."""
    captions: list[str] | None = None
    """Likewise."""


class ImageSource(Protocol):
    """A set of images to measure, in a fixed order; it may be iterated again and is never held in memory."""

    def __iter__(self) -> Iterator[ImageBatch]: ...


class Extractor(Component, ABC):
    """Image features in which distributions are compared. Built with ``device``; owns its preprocessing."""

    kind = "extractor"

    class Params(ComponentParams):
        @property
        def identity(self) -> dict[str, Any]:
            """What the features depend on beside the weights, whose hash is known: not where these lie."""
            return self.model_dump(mode="json")

        @property
        def adm_keys(self) -> tuple[tuple[str, str], ...]:
            """Where the ADM evaluator's reference files keep mean and covariance of its features, part after part."""
            return ()

    @property
    def weights_sha256(self) -> str | None:
        """Hash of the file of weights that it has loaded; None without one."""
        return None

    @abstractmethod
    def fit(self, images: Iterable[Tensor]) -> None:
        """Learn from reference images (b c h w) in [-1, 1] whatever is learnt; may do nothing.

        Raises:
            DataError: there are too few.
        """

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """(b c h w) in [-1, 1], on any device -> (b d) on its own device"""


class Comparison(Protocol):
    """Generated images beside real ones. Features are extracted once, kept, and shared by all metrics."""

    @property
    def generated(self) -> ImageSource: ...

    @property
    def reference(self) -> ImageSource: ...

    def features(self, extractor: Extractor.Params) -> tuple[Array, Array]:
        """Of the generated (n d) and the real images (m d); m is 0 where of these only statistics are kept."""

    def generated_features(self, extractor: Extractor.Params) -> Array:
        """Of the generated images alone (n d)."""

    def reference_moments(self, extractor: Extractor.Params) -> tuple[Array, Array]:
        """Mean (d) and unbiased covariance (d d) of the real images' features, or as their statistics have them.

        Raises:
            DataError: the statistics are of other extractors.
        """


class Metric(Component, ABC):
    """Compares generated images with real ones. Built with ``device``."""

    kind = "metric"
    higher_is_better: ClassVar[bool] = False
    """Whether larger main figures are better ones."""

    class Params(ComponentParams):
        pass

    @property
    def title(self) -> str:
        """Its name in reports, with whatever makes its numbers incomparable to those of another setting."""
        return self.type_name()

    @property
    def protocol(self) -> str:
        """Whose definition its figures follow, for the record."""
        return f"{self.type_name()} of pixelflow"

    @abstractmethod
    def compute(self, images: Comparison) -> dict[str, float]:
        """Named figures; the first is the main one.

        Raises:
            DataError: the images cannot be measured so (too few, no labels); the message says how many it takes.
        """


class Rewriter(Component, ABC):
    """Rewrites prompts before images are drawn from them. Built with ``device``."""

    kind = "rewriter"

    class Params(ComponentParams):
        pass

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """What decides on the answers beside the settings, such as the hash of a file that it reads; may be empty."""

    @abstractmethod
    def rewrite(self, prompts: Sequence[str]) -> list[str]:
        """One prompt for each, in order, whatever the others are.

        Raises:
            DataError: a prompt cannot be rewritten.
            MissingInputError, MissingDependencyError: a file or model that it needs is not there.
        """
