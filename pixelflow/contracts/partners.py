"""The built-in components that a check needs beside the one it checks."""

from __future__ import annotations

from typing import Any

from pixelflow.core import plugins
from pixelflow.core.registry import registry


def built_in(kind: str, name: str, **wiring: Any) -> Any:
    """A registered component with its default settings."""
    plugins.load()
    return registry.of_kind(kind)[name].cls.Params().build(**wiring)
