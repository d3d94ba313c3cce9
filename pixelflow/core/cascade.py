"""The cascade: pyramids, training states, renoising, and what a state and its velocity imply.

PixelFlow (arXiv 2504.07963) section 3.2. ``n`` is the noise, ``y`` the clean image at a stage's resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from pixelflow.core import renoising
from pixelflow.core.interfaces import Downsampler, Upsampler
from pixelflow.core.schedule import Stage, Time, make_stages
from pixelflow.system.errors import UsageError

_MIN_NOISE = 0.05
"""Floor on the noise level when dividing by it; only the last stage's end comes below."""

_SERIES_ERROR = 1e-6
"""Relative size at which the series in `noise_estimate` is cut off."""


class Cascade:
    """`count` stages, joined by a down- and an upsampler.

    Raises:
        NotLinearError: an operator is not linear, for which no renoising is exact.
    """

    def __init__(self, count: int, down: Downsampler, up: Upsampler) -> None:
        self.down, self.up = down, up
        renoising.check_operator(down, 0.5, down.type_name())
        renoising.check_operator(up, 2.0, up.type_name())
        self.stages = make_stages(count, up.gain)

    def size(self, stage: Stage, height: int, width: int) -> tuple[int, int]:
        """Resolution of `stage` when the full image is `height` x `width`."""
        return height >> stage.halvings, width >> stage.halvings

    def at_stage(self, images: Tensor, stage: Stage) -> Tensor:
        """Full images (b c h w) at the stage's resolution, halved one step at a time."""
        for _ in range(stage.halvings):
            images = self.down(images)
        return images

    def blur(self, y: Tensor) -> Tensor:
        """up(down(y)): all that a coarser stage can tell of an image (b c h w)."""
        return self.up(self.down(y))

    def states(self, y: Tensor, noise: Tensor, tau: Tensor, stage: Stage) -> tuple[Tensor, Tensor]:
        """Training input and target (Eqs 2 to 5).

        Args:
            y: clean images at the stage's resolution (b c h w).
            noise: white, of the same shape.
            tau: one for each image (b).

        Returns:
            state x_tau and velocity target, both (b c h w)
        """
        tau = tau.view(-1, 1, 1, 1)
        start = (1 - stage.start) * noise
        if stage.index:
            start = start + stage.start * self.up(self.down(y))
        end = stage.end * y + (1 - stage.end) * noise
        return tau * end + (1 - tau) * start, end - start

    def renoise(self, x: Tensor, stage: Stage, noise: Tensor) -> Tensor:
        """End of the coarser stage (b c h w) to the start of `stage` (b c 2h 2w).

        `noise` is the upsampler's, of unit mean variance. The result's noise is white, of level 1 - start.
        """
        scale = stage.alpha * (1 - stage.previous_end) * self.up.noise_scale(*noise.shape[-2:])
        return stage.alpha * self.up(x) + scale * noise

    def noise_estimate(self, x: Tensor, velocity: Tensor, tau: Tensor | float, stage: Stage) -> Tensor:
        """The noise n that a state and its velocity imply (b c h w).

        Eliminating y from ``X0 = s B y + (1-s) n`` and ``X1 = e y + (1-e) n`` with ``B = up(down(.))`` gives
        ``(1-s) n - (s/e)(1-e) B n = X0 - (s/e) B X1``, solved by its quickly converging geometric series.

        Raises:
            UsageError: the series diverges; only for operators that amplify an image at every round trip.
        """
        start, end = x - tau * velocity, x + (1 - tau) * velocity
        if not stage.index:
            return start
        right = (start - stage.start / stage.end * self.blur(end)) / (1 - stage.start)
        ratio = stage.start * (1 - stage.end) / (stage.end * (1 - stage.start))
        noise = right
        for _ in range(self._series_terms(ratio)):
            noise = right + ratio * self.blur(noise)
        return noise

    def _series_terms(self, ratio: float) -> int:
        rate = ratio * self._blur_radius
        if rate >= 1:
            raise UsageError(
                f"{self.down.type_name()} down and {self.up.type_name()} up amplify images too much "
                "for a sampler or guidance that needs the noise estimate; choose another pair"
            )
        return math.ceil(math.log(_SERIES_ERROR) / math.log(rate)) if rate > 0 else 0

    @cached_property
    def _blur_radius(self) -> float:
        """Spectral radius of up(down(.)), by power iteration."""
        x = torch.randn(1, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        radius = 0.0
        for _ in range(50):
            x = self.blur(x / x.norm())
            radius = float(x.norm())
        return radius

    def clean_estimate(self, x: Tensor, velocity: Tensor, tau: Tensor | float, stage: Stage) -> Tensor:
        """The clean image at the stage's resolution that a state and its velocity imply (b c h w)."""
        end = x + (1 - tau) * velocity
        if stage.is_last:
            return end
        return (end - (1 - stage.end) * self.noise_estimate(x, velocity, tau, stage)) / stage.end

    def velocity_from_clean(self, x: Tensor, y: Tensor, tau: Tensor | float, stage: Stage) -> Tensor:
        """The velocity that a state and an estimate of its clean image imply (b c h w)."""
        return velocity_from_clean(x, y, tau, stage, self.blur)


def noise_level(stage: Stage, tau: Time) -> Time:
    """The factor b of the noise in x_tau; floats and tensors alike."""
    return tau * (1 - stage.end) + (1 - tau) * (1 - stage.start)


def signal_level(stage: Stage, tau: Time) -> Time:
    """The factor a of the clean image in x_tau, of what a coarser stage can tell of it; ``1 - b``."""
    return tau * stage.end + (1 - tau) * stage.start


def velocity_from_clean(
    x: Tensor, y: Tensor, tau: Tensor | float, stage: Stage, blur: Callable[[Tensor], Tensor]
) -> Tensor:
    """The velocity that a state and an estimate of its clean image imply (b c h w); the inverse of `clean_estimate`.

    The one place that divides by the noise level, which is kept from below (JiT, arXiv 2511.13720).

    Args:
        x, y: state and clean image at the stage's resolution (b c h w).
        tau: a number, or a tensor that broadcasts against (b c h w).
        blur: the cascade's up(down(.)).
    """
    blurred = stage.start * blur(y) if stage.index else torch.zeros_like(y)
    level = noise_level(stage, tau)
    level = level.clamp_min(_MIN_NOISE) if isinstance(level, Tensor) else max(level, _MIN_NOISE)
    noise = (x - tau * stage.end * y - (1 - tau) * blurred) / level
    return stage.end * y - blurred - (stage.end - stage.start) * noise
