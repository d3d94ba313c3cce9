"""The name by which a service knows a run; kept in the tracker's folder, so that a run goes on under its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from pixelflow.system.files import write_text

_FILE = "run-id.txt"


def fresh() -> str:
    """Eight letters and digits that no other run has."""
    return uuid.uuid4().hex[:8]


def identity(folder: Path, make: Callable[[], str] = fresh) -> str:
    """What was kept in this folder, or what `make` gives, which is kept from now on."""
    file = folder / _FILE
    if file.is_file():
        return file.read_text("utf-8").strip()
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    write_text(file, made + "\n")
    return made
