"""How images are compared."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelflow.core.component import Component, ComponentParams

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ImageBatch:
    """Images to measure."""

    images: Tensor
    """(b c h w) in [-1, 1], on the CPU"""
    labels: list[int] | None = None
    """What each image shows, or was generated to show; None for unlabelled images."""
    captions: list[str] | None = None
    """Likewise."""
    classes: tuple[str, ...] = ()
    """Names of the labels, whose order is this source's own; empty where there are only numbers. Two sources are
    brought together by `pixelflow.core.classes.match`."""


class ImageSource(Protocol):
    """A set of images to measure, in a fixed order; it may be iterated again and is never held in memory."""

    def __iter__(self) -> Iterator[ImageBatch]: ...


class Extractor(Component, ABC):
    """Image features in which distributions are compared. Built with ``device``; owns its preprocessing."""

    kind = "extractor"

    def __init__(self, params: ComponentParams, *, device: torch.device) -> None:
        super().__init__(params)
        self.device = device

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self, *, device: torch.device) -> Extractor: ...

        @property
        def identity(self) -> dict[str, object]:
            """What the features depend on beside the weights, whose hash is known: not where these lie."""
            return self.model_dump(mode="json")

        @property
        def adm_keys(self) -> tuple[tuple[str, str], ...]:
            """Where the ADM evaluator's reference files keep mean and covariance of its features, part after part."""
            return ()

    is_differentiable: ClassVar[bool] = False
    """Whether gradients pass from `features` and `maps` to the images, and nothing is learnt by `fit`: then losses can
    be measured in them."""

    @property
    def weights_sha256(self) -> str | None:
        """Hash of the file of weights that it has loaded; None without one."""
        return None

    def prepare(self) -> None:
        """Load the weights, if there are any: called before images are drawn, so that missing ones are known by then.

        Raises:
            MissingDependencyError, MissingInputError, DataError: they or what reads them are not there, or damaged.
        """

    def fit(self, images: Iterable[Tensor]) -> None:
        """Learn from reference images (b c h w) in [-1, 1] whatever is learnt; by default nothing.

        Raises:
            DataError: there are too few.
        """

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """(b c h w) in [-1, 1], on any device -> (b d) on its own device"""

    def maps(self, images: Tensor) -> Sequence[Tensor]:
        """(b c h w) in [-1, 1] -> inner features (b d h' w'), finest first; by default `features` as one place."""
        return [self.features(images)[:, :, None, None]]


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

    def __init__(self, params: ComponentParams, *, device: torch.device) -> None:
        super().__init__(params)
        self.device = device

    figures: ClassVar[tuple[str, ...]] = ()
    """Names of all that it may give, for searches that name one; empty where that is only known when it measures."""
    higher_is_better: ClassVar[bool] = False
    """Whether larger main figures are better ones."""
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """Least and largest value that any of its figures can have; intervals end there."""

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self, *, device: torch.device) -> Metric: ...

    @property
    def title(self) -> str:
        """Its name in reports, with whatever makes its numbers incomparable to those of another setting."""
        return self.type_name()

    @property
    def extractor(self) -> Extractor.Params | None:
        """In whose features it compares; its weights are looked for before images are drawn."""
        return None

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
