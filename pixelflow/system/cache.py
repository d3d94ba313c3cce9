"""Where things are kept that can be had again, only slowly."""

from __future__ import annotations

import os
from pathlib import Path

from pixelflow.system.errors import UsageError
from pixelflow.system.files import at_home, writing

CACHE_VARIABLE = "PIXELFLOW_CACHE"
"""Environment variable with the folder in which they are kept."""


def cache_folder(name: str) -> Path:
    """``$PIXELFLOW_CACHE/name``, without the variable ``~/.cache/pixelflow/name``; made if it is not there.

    Raises:
        CannotWriteError: the system refuses.
        UsageError: it lies in a home folder that is not there.
    """
    try:
        folder = at_home(Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/pixelflow")) / name
    except ValueError as error:
        raise UsageError(f"{CACHE_VARIABLE}: {error}; set {CACHE_VARIABLE} to another folder") from None
    with writing(folder, f"; set {CACHE_VARIABLE} to another folder"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
