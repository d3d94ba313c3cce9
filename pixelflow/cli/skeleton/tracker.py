"""A tracker that keeps numbers as a table."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from pixelflow.core.interfaces import Tracker


class Table(Tracker):
    """Rows of step, name and value in ``numbers.csv``, with the spec and the pictures beside it."""

    class Params(Tracker.Params):
        type: Literal["acme.table"] = "acme.table"
        digits: int = 6
        """Digits of a value."""

    params: Params

    def begin(self, spec: Mapping[str, JsonValue], step: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        with (self.folder / "numbers.csv").open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [step, name, f"{value:.{self.params.digits}g}"] for name, value in values.items()
            )

    def pictures(self, step: int, files: Mapping[str, Path]) -> None:
        for name, file in files.items():
            shutil.copyfile(file, self.folder / f"{name}-{step:08d}.png")

    def end(self) -> None:
        return None
