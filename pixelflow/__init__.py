"""PixelFlow: image generation by flow matching in pixels, over a cascade of resolutions.

``pixelflow.load(run)`` opens a trained run. Importing this package imports neither torch nor any plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelflow.core.errors import StoppedError
from pixelflow.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from pixelflow.core.history import Step
    from pixelflow.run import Run

__version__ = "0.1.0"
__all__ = ["StoppedError", "__version__", "hookimpl", "load"]


def load(run: str | Path, *, step: Step | None = None, weights: str = "ema", device: str | None = None) -> Run:
    """Open a run folder for sampling; see `pixelflow.run.Run`.

    Args:
        run: the folder that ``pixelflow train`` wrote.
        step: the checkpoint's step, or ``"best"``: the one that was evaluated best while training; by default the
            newest complete one.
        weights: ``"ema"`` or ``"raw"``.
        device: a torch device; by default the first GPU, else the CPU.

    Raises:
        MissingInputError: there is no run or no checkpoint.
        DataError: every checkpoint is damaged, or does not fit the run's spec.
    """
    from pathlib import Path

    from pixelflow.run import Run

    return Run.open(Path(run).expanduser(), step=step, weights=weights, device=device)
