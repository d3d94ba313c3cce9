"""trackio."""

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
    import trackio


class Trackio(Tracker):
    """trackio, on this machine or in a Hugging Face Space; ``trackio show`` draws what is kept here."""

    class Params(Tracker.Params):
        type: Literal["trackio"] = "trackio"
        project: str = "pixelflow"
        """Project that the run belongs to."""
        space: str | None = None
        """Space, as ``user/name``, that shows it; null keeps it on this machine, in the folder ``TRACKIO_DIR``."""

    params: Params
    _run: trackio.Run

    def begin(self, spec: Mapping[str, JsonValue], step: int) -> None:
        try:
            import trackio
        except ImportError:
            raise MissingDependencyError(
                f"the tracker trackio needs the package trackio: {install('trackio')}"
            ) from None
        self._run = trackio.init(
            project=self.params.project,
            name=f"{self.run}-{identity(self.folder)}",
            space_id=self.params.space,
            config=dict(spec),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def pictures(self, step: int, files: Mapping[str, Path]) -> None:
        import trackio

        self._run.log({name: trackio.Image(str(file)) for name, file in files.items()}, step=step)

    def end(self) -> None:
        self._run.finish()
