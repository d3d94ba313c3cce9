"""Operators: how a cascade changes resolution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from pixelflow.core import renoising
from pixelflow.core.component import Component, ComponentParams


class Downsampler(Component, ABC):
    """Halves the resolution; linear, the same for every channel."""

    kind = "downsampler"

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self) -> Downsampler: ...

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
        if TYPE_CHECKING:

            def build(self) -> Upsampler: ...

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
        cache: dict[tuple[int, int], renoising.SeparableNoise] = self.__dict__.setdefault("_noise_of_size", {})
        if (height, width) not in cache:
            cache[height, width] = renoising.SeparableNoise(self, self.gain, height, width)
        return cache[height, width]
