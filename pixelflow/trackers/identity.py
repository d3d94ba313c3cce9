"""The name by which a service knows a run; kept in the tracker's folder, so that a run goes on under its own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

from pixelflow.system import journal
from pixelflow.system.errors import DataError
from pixelflow.system.files import read_bytes, write_text

_FILE, _NAME = "run-id.txt", "run"
_LARGEST = 1 << 16
"""Bytes."""


def fresh() -> str:
    """Eight letters and digits that no other run has."""
    return uuid.uuid4().hex[:8]


def identity(folder: Path, make: Callable[[], str] = fresh) -> str:
    """What was kept in this folder, or what `make` gives, which is kept from now on.

    Raises:
        DataError: what was kept is damaged.
    """
    file = folder / _FILE
    if file.exists():
        return _kept(file)
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    write_text(file, f"{journal.sealed({_NAME: made}, journal.Position()).text}\n")
    return made


def _kept(file: Path) -> str:
    """Of former versions it is the whole text, and nobody can check it."""
    (line, *others) = journal.all_checked(read_bytes(file, _LARGEST).splitlines() or [b""])
    if not line.text.startswith("{"):
        return line.text.strip()
    body = json.loads(line.text) if line.is_sound and line.is_sealed and not others else {}
    if _NAME not in body:
        raise DataError(f"{file}: is damaged; remove it, and the run begins anew under another name")
    return str(body[_NAME])
