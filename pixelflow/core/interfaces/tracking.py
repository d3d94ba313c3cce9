"""Where people watch a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import JsonValue

from pixelflow.core.component import Component, ComponentParams
from pixelflow.core.slots import Slot


class Tracker(Component, ABC):
    """Shows a training in another program, beside the files that the run keeps itself.

    Built with ``folder``, its own within the run's (made when something is written there), and ``run``, the run's
    name. One process of several tracks. What a method raises ends this tracker with one line; the training and other
    trackers go on.
    """

    kind = "tracker"

    class Params(ComponentParams):
        if TYPE_CHECKING:

            def build(self, *, folder: Path, run: str) -> Tracker: ...

    def __init__(self, params: Params, *, folder: Path, run: str) -> None:
        super().__init__(params)
        self.folder, self.run = folder, run

    @abstractmethod
    def begin(self, spec: Mapping[str, JsonValue], step: int) -> None:
        """Start tracking; where an earlier process did, go on in the same place after `step`.

        Raises:
            MissingDependencyError: its package is not installed; this is told before the training starts.
        """

    @abstractmethod
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name, such as ``loss``, ``loss_of_stage/0``, ``held_out/loss``, ``evaluation/fid/fid``."""

    @abstractmethod
    def pictures(self, step: int, files: Mapping[str, Path]) -> None:
        """PNG files by name: ``samples``, a grid, and ``stages``, a filmstrip."""

    @abstractmethod
    def end(self) -> None:
        """The training is over, for now at least."""


AnyTracker = Annotated[Tracker.Params, Slot("tracker")]


def of_tensorboard(wanted: object) -> dict[str, object]:
    """The settings that say what ``training.tensorboard`` said: whether there is this tracker."""
    if not isinstance(wanted, bool):
        raise TypeError("is true or false")
    return {"trackers": ["tensorboard"]} if wanted else {}
