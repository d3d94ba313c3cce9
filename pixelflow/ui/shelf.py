"""The runs that a page can open."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from threading import Lock

from pixelflow.generation.run import Run
from pixelflow.runs import checkpoint
from pixelflow.runs.history import Step
from pixelflow.runs.runfolder import ENVIRONMENT_FILE, RunFolder
from pixelflow.system.errors import UsageError
from pixelflow.ui.processes import Trainings

NEWEST = "newest"
WEIGHTS = ("ema", "raw")
"""That every checkpoint has."""
_OPEN = 2
"""Models that are kept in memory."""


class Shelf:
    """The runs below a folder. Each is opened when it is first asked for, and the last two stay open."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        self.folder = folder
        self.trainings = Trainings(folder)
        self._device = device
        self._opened: OrderedDict[tuple[str, str, str, tuple[int, ...]], Run] = OrderedDict()
        self._lock = Lock()

    def names(self) -> list[str]:
        """The runs, the one trained last first; the folder itself may be one."""
        if (self.folder / "spec.yaml").is_file():
            return ["."]
        found = list(self.folder.glob("*/spec.yaml"))
        changed = {spec.parent.name: _changed(spec.parent) for spec in found}
        return sorted(changed, key=lambda name: (-changed[name], name))

    def path(self, name: str | None) -> Path:
        """The folder of a run.

        Raises:
            UsageError: none is chosen.
        """
        if not name:
            raise UsageError(f"{self.folder}: choose a run; pixelflow train makes one")
        return self.folder / name

    def checkpoints(self, name: str | None) -> list[str]:
        """What may be chosen of a run: the newest, the one evaluated best, and each that is there."""
        if not name:
            return [NEWEST]
        run = RunFolder(self.path(name))
        best = ["best"] if run.history.evaluated else []
        return [NEWEST, *best, *(str(step) for step in reversed(checkpoint.steps(run.checkpoints)))]

    def weights(self, name: str | None) -> list[str]:
        """What may be chosen of a run's weights: those of every checkpoint, and the averages that it follows."""
        if not name:
            return list(WEIGHTS)
        power = RunFolder(self.path(name)).read_spec(to_draw=True).training.power_ema
        return [*WEIGHTS, *(f"{length:g}" for length in (power.lengths if power else ()))]

    def written(self, name: str | None) -> tuple[int, ...]:
        """When a run was begun and its checkpoints were made: of a run that took another's place, something else."""
        path = self.path(name)
        files = (path / ENVIRONMENT_FILE, *sorted((path / "checkpoints").glob(f"*/{checkpoint.MANIFEST}")))
        found = []
        for file in files:
            with suppress(OSError):  # it is just being removed
                found.append(file.stat().st_mtime_ns)
        return tuple(found)

    def open(self, name: str | None, step: str = NEWEST, weights: str = "ema") -> Run:
        """A run with the weights of a checkpoint; raises what `Run.open` raises, and UsageError for no run."""
        path = self.path(name)
        key = (str(path), step, weights, self.written(name))
        with self._lock:
            if key not in self._opened:
                wanted: Step | None = None if step == NEWEST else "best" if step == "best" else int(step)
                self._opened[key] = Run.open(path, step=wanted, weights=weights, device=self._device)
            self._opened.move_to_end(key)
            while len(self._opened) > _OPEN:
                self._opened.popitem(last=False)
            return self._opened[key]


def _changed(run: Path) -> float:
    """When it was last trained, as far as its files tell."""
    try:
        return max(file.stat().st_mtime for file in (run / "spec.yaml", run / "metrics.jsonl") if file.exists())
    except (OSError, ValueError):
        return 0.0
