"""The hooks that a plugin may implement. Built-in components register through the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:  # importing pixelflow for its hookimpl must not cost pydantic's time
    from pixelflow.core.component import Component
    from pixelflow.core.kinds import Kind

PROJECT = "pixelflow"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_components() -> list[type[Component]]:  # type: ignore[empty-body]
    """Return the component classes that this plugin adds.

    Called once, before the first spec is validated. Names of third-party components carry a prefix
    of their own (``acme.heun3``), so that they never meet a later built-in.
    """


@hookspec
def register_kinds() -> list[Kind]:  # type: ignore[empty-body]
    """Return the kinds of components that this plugin adds, if any: rows of the table of `pixelflow.core.kinds`.

    Called before the plugin's `register_components`. Names begin with the plugin's and a dot (``acme.warp``).
    """
