"""The hooks that a plugin may implement. Built-in components register through the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:  # importing pixelflow for its hookimpl must not cost pydantic's time
    from pixelflow.core.component import Component

PROJECT = "pixelflow"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_components() -> list[type[Component]]:  # type: ignore[empty-body]
    """Return the component classes that this plugin adds.

    Called once, before the first spec is validated. Names of third-party components carry a prefix
    of their own (``acme.heun3``), so that they never meet a later built-in.
    """
