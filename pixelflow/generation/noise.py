"""Where the noise of images comes from: their seeds, or tensors that the user gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pixelflow.core.interfaces import NoiseSource
from pixelflow.core.sampling import GivenNoise, SeededNoise
from pixelflow.system.errors import UsageError


def checked_noise(noise: Sequence[Tensor], channels: int, stages: int) -> list[Tensor]:
    """Given noise in float32.

    A stochastic sampler draws more than one tensor a stage, so more are taken if the last has the images' size.

    Raises:
        UsageError: it is no list of tensors (b c h w) of the images' channels, or one of another cascade.
    """
    if isinstance(noise, Tensor) or not noise or any(part.ndim != 4 or part.shape[1] != channels for part in noise):
        shapes = tuple(noise.shape) if isinstance(noise, Tensor) else [tuple(part.shape) for part in noise]
        raise UsageError(f"noise must be a list, one tensor a stage (b {channels} h w), not {shapes}")
    finest = [side << (stages - 1) for side in noise[0].shape[-2:]]
    if len(noise) > stages and list(noise[-1].shape[-2:]) != finest:
        raise UsageError(f"{len(noise)} tensors of noise do not suit the {stages} stages of this run")
    return [part.float() for part in noise]


def noise_source(
    count: int, seeds: Sequence[int], noise: Sequence[Tensor] | None, device: torch.device
) -> Callable[[slice], NoiseSource]:
    """Noise of any part of the images, from their seeds or as given (see `checked_noise`).

    Raises:
        UsageError: there are not as many seeds, or noises, as images.
    """
    if noise is None:
        if len(seeds) != count:
            raise UsageError(f"{count} images need {count} seeds, not {len(seeds)}")
        return lambda rows: SeededNoise(seeds[rows], device)
    if any(len(part) != count for part in noise):
        shapes = ", ".join(str(tuple(part.shape)) for part in noise)
        raise UsageError(f"noise for {count} images must be ({count} c h w), one tensor a stage, not [{shapes}]")
    return lambda rows: GivenNoise([part[rows] for part in noise], device)
