"""The cascade's time axis: where each stage begins and ends, and the time that the network sees.

Time runs from 0 (noise) to 1 (data). Stage ``s`` of ``S`` ends at ``(s + 1) / S``; it starts earlier than its
predecessor ended, because upsampling correlates the noise and only fresh noise makes it white again.
Plain floats, no torch: ``pixelflow plan`` reads it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

Time = TypeVar("Time", float, Tensor, Tensor | float)
"""One time, or one for each image."""

TRAIN_TIMESTEPS = 1000
"""The network's time axis is [0, 1000), as in the release."""


@dataclass(frozen=True)
class Stage:
    """One resolution of the cascade; ``index`` 0 is the coarsest."""

    index: int
    halvings: int
    """How many times the full image is halved to reach this stage's resolution."""
    previous_end: float
    """Time p at which the coarser stage ended."""
    start: float
    """Time s of the start state (Eq 2); p rewound by the renoising."""
    end: float
    """Time e of the end state (Eq 3)."""
    alpha: float
    """Factor on the upsampled image when the stage is entered."""
    window: tuple[float, float]
    """The network's time at tau = 0 and at tau = 1."""

    @property
    def count(self) -> int:
        """Stages of the cascade."""
        return self.index + 1 + self.halvings

    @property
    def is_last(self) -> bool:
        return not self.halvings

    def network_time(self, tau: Time) -> Time:
        """Network time T in [0, 1000) of `tau` in [0, 1]; floats and tensors alike."""
        return self.window[0] + tau * (self.window[1] - self.window[0])

    def tau(self, network_time: Time) -> Time:
        """The inverse of `network_time`."""
        return (network_time - self.window[0]) / (self.window[1] - self.window[0])


def make_stages(count: int, gain: float) -> tuple[Stage, ...]:
    """Uniform split of [0, 1] into `count` stages, for an upsampler of largest singular value `gain`.

    Like the release, it rounds the ends down to whole thousandths, so a third is 0.333.

    Source: PixelFlow (arXiv 2504.07963) section 3.2 and its release's scheduler; the rewinding is that of Pyramidal
    Flow Matching (arXiv 2410.05954).
    """
    bounds = [int(TRAIN_TIMESTEPS * (index / count)) / TRAIN_TIMESTEPS for index in range(count + 1)]
    previous, ends = bounds[:-1], bounds[1:]
    alphas = [1 / (p + (1 - p) * gain) if index else 1.0 for index, p in enumerate(previous)]
    starts = [alpha * p for alpha, p in zip(alphas, previous, strict=True)]
    windows = _windows([end - start for start, end in zip(starts, ends, strict=True)])
    halvings = [count - 1 - index for index in range(count)]
    return tuple(Stage(i, halvings[i], previous[i], starts[i], ends[i], alphas[i], windows[i]) for i in range(count))


def _windows(lengths: list[float]) -> list[tuple[float, float]]:
    """Lay the stages' lengths end to end on [0, 1000).

    The release tabulates 1000 times a stage: exclusive of the bound, but inclusive of 999 in the last stage.
    Read as a line through the table's points, the last stage therefore reaches 999 at tau = 0.999.
    """
    total = sum(lengths)
    bounds = [int(sum(lengths[:i]) / total * TRAIN_TIMESTEPS) for i in range(len(lengths))]
    last = TRAIN_TIMESTEPS - 1
    final = bounds[-1] + (last - bounds[-1]) * TRAIN_TIMESTEPS / last
    return [(float(low), float(high)) for low, high in zip(bounds, [*bounds[1:], final], strict=True)]
