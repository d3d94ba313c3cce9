"""Where things are kept that can be had again, only slowly."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "PIXELFLOW_CACHE"


def cache_folder(name: str) -> Path:
    """``$PIXELFLOW_CACHE/name``; without the variable below ``$XDG_CACHE_HOME/pixelflow`` or ``~/.cache/pixelflow``."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own).expanduser() / name
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "pixelflow" / name
