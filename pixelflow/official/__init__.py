"""Exchange with the authors' release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pixelflow.generation.run import Run


def replay(run: Run, noise: Sequence[Tensor], **asked: Any) -> Tensor:
    """Repeat a recording of the release's Dopri5, operation for operation: images (b c h w) before clipping.

    `pixelflow.official.recording` tells why that is another thing than to sample with this noise.

    Args:
        noise: (b c h w), then one (2b c h w) for each later stage: the second half takes part in the error alone.
        asked: labels, texts, their masks, and settings, as `Run.sample` takes them; sampler and guidance must be
            ``dopri5`` and ``stagewise``.

    Raises:
        UsageError: the settings are others, or the noise does not suit the stages, or what is asked for the run.
    """
    from pixelflow.official.recording import replayed

    return replayed(run, noise, asked)
