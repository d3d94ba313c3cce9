"""Where things are kept that can be had again, only slowly."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "PIXELFLOW_CACHE"
"""Environment variable with the folder in which they are kept."""


def cache_folder(name: str) -> Path:
    """``$PIXELFLOW_CACHE/name``, without the variable ``~/.cache/pixelflow/name``."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/pixelflow").expanduser() / name
