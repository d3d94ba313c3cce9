"""Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue

from pixelflow.core.interfaces import Tracker
from pixelflow.system.distribution import install
from pixelflow.system.errors import MissingDependencyError
from pixelflow.trackers.identity import identity

if TYPE_CHECKING:
    import wandb


class Wandb(Tracker):
    """Weights & Biases, as the account that ``wandb login`` chose."""

    class Params(Tracker.Params):
        type: Literal["wandb"] = "wandb"
        project: str = "pixelflow"
        """Project that the run belongs to."""
        entity: str | None = None
        """User or team that the project belongs to; null for the account's own."""
        mode: Literal["online", "offline"] = "online"
        """offline keeps everything in the run's folder; ``wandb sync --append`` sends it later."""

    params: Params
    _run: wandb.Run

    def begin(self, spec: Mapping[str, JsonValue], step: int) -> None:
        try:
            import wandb
        except ImportError:
            raise MissingDependencyError(f"the tracker wandb needs the package wandb: {install('wandb')}") from None
        self._run = wandb.init(
            project=self.params.project,
            entity=self.params.entity,
            mode=self.params.mode,
            name=self.run,
            id=identity(self.folder),
            resume="allow",
            dir=str(self.folder),
            config=dict(spec),
            settings=wandb.Settings(console="off", silent=True),
        )
        self._run.define_metric("*", step_metric="step")  # its own counter would refuse steps of a run that goes on

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({**values, "step": step})

    def pictures(self, step: int, files: Mapping[str, Path]) -> None:
        import wandb

        self._run.log({**{name: wandb.Image(str(file)) for name, file in files.items()}, "step": step})

    def end(self) -> None:
        self._run.finish()
