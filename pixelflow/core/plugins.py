"""Finding plugins and filling the registry, with every failure kept apart and named.

A broken plugin must never take the command line down: each entry point is loaded in its own ``try``, each
implementation is called in its own ``try``, and what went wrong is kept in ``failures()``.
"""

from __future__ import annotations

import functools
import importlib
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any

import pluggy

from pixelflow.core import hookspecs
from pixelflow.core.registry import registry

ENTRY_POINT_GROUP = "pixelflow"
DISABLE_VARIABLE = "PIXELFLOW_DISABLE_PLUGINS"

BUILT_INS = (
    "pixelflow.operators",
    "pixelflow.backbones",
    "pixelflow.conditioners",
    "pixelflow.objectives",
    "pixelflow.samplers",
    "pixelflow.guidance",
    "pixelflow.data",
    "pixelflow.evaluation",
)


@dataclass(frozen=True)
class Failure:
    """Why a plugin, or one of its components, is not available."""

    plugin: str
    reason: str
    details: str
    """The traceback, for ``--debug``."""


@dataclass(frozen=True)
class Plugin:
    """A third-party plugin that was found."""

    name: str
    distribution: str

    @property
    def origin(self) -> str:
        return f"{self.name} ({self.distribution})"


_failures: list[Failure] = []
_plugins: list[Plugin] = []


def failures() -> list[Failure]:
    """Every failure met while loading; loads first if nothing was loaded yet."""
    load()
    return list(_failures)


def third_party() -> list[Plugin]:
    """The plugins found through entry points, broken ones included."""
    load()
    return list(_plugins)


def failure_note(name: str) -> str:
    """A clause naming the broken plugin that probably owns component `name`, or an empty string."""
    prefix = name.split(".", maxsplit=1)[0]
    for failure in _failures:
        if failure.plugin == prefix or prefix in failure.plugin:
            return f"; plugin {failure.plugin} is broken: {failure.reason}"
    return ""


@functools.cache
def load() -> pluggy.PluginManager:
    """Register built-ins, then every installed plugin; idempotent and cheap after the first call."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for module_name in BUILT_INS:
        module = importlib.import_module(module_name)
        manager.register(module, module_name)
        for cls in module.register_components():
            registry.add(cls, "pixelflow")
    if not os.environ.get(DISABLE_VARIABLE):
        for distribution in metadata.distributions():
            for entry_point in distribution.entry_points:
                if entry_point.group == ENTRY_POINT_GROUP:
                    plugin = Plugin(entry_point.name, f"{distribution.name} {distribution.version}")
                    _load_third_party(manager, plugin, entry_point)
    return manager


def _load_third_party(manager: pluggy.PluginManager, plugin: Plugin, entry_point: metadata.EntryPoint) -> None:
    if any(known.name == plugin.name for known in _plugins):
        _fail(plugin, "another installed distribution registers a plugin of the same name")
        return
    _plugins.append(plugin)
    module = _guarded(plugin, "cannot be imported", entry_point.load)
    if module is None or _guarded(plugin, "is refused", lambda: _register(manager, module, plugin.name)) is None:
        return
    for implementation in manager.hook.register_components.get_hookimpls():
        if implementation.plugin_name == plugin.name:
            classes = _guarded(plugin, "register_components failed", implementation.function)
            _register_classes(plugin, classes)


def _register(manager: pluggy.PluginManager, module: Any, name: str) -> bool:
    """Register with pluggy and check the hooks' names, which pluggy by itself lets pass misspelt."""
    manager.register(module, name)
    try:
        manager.check_pending()
    except Exception:
        manager.unregister(name=name)
        raise
    return True


def _register_classes(plugin: Plugin, classes: Any) -> None:
    if classes is None:
        return
    if not isinstance(classes, (list, tuple)):
        _fail(plugin, f"register_components returned {type(classes).__name__}, not a list of component classes")
        return
    for cls in classes:
        _guarded(plugin, "", partial(registry.add, cls, plugin.origin))


def _guarded(plugin: Plugin, what: str, call: Callable[[], Any]) -> Any:
    """Call, and record any failure; SystemExit too, which a careless module may raise while imported."""
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        _fail(plugin, f"{what}: {cause}" if what else cause, traceback.format_exc())
        return None


def _fail(plugin: Plugin, reason: str, details: str = "") -> None:
    _failures.append(Failure(plugin.name, reason, details))
