"""TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import JsonValue

from pixelflow.core.interfaces import Tracker
from pixelflow.system import decoding
from pixelflow.system.distribution import install
from pixelflow.system.errors import MissingDependencyError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard(Tracker):
    """Event files in the run's folder ``tensorboard``: ``tensorboard --logdir runs`` shows all runs."""

    class Params(Tracker.Params):
        type: Literal["tensorboard"] = "tensorboard"

    _writer: SummaryWriter

    def begin(self, spec: Mapping[str, JsonValue], step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingDependencyError(
                f"the tracker tensorboard needs the package tensorboard: {install('tensorboard')}"
            ) from None
        self._writer = SummaryWriter(str(self.folder), purge_step=step + 1)  # hides what a lost process did after it
        self._writer.add_text("spec", f"```json\n{json.dumps(spec, indent=2)}\n```", step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, files: Mapping[str, Path]) -> None:
        for name, file in files.items():
            self._writer.add_image(name, np.asarray(decoding.read(file, 3)), step, dataformats="HWC")

    def end(self) -> None:
        self._writer.close()
