"""Finding plugins and filling the registry, with every failure kept apart and named.

A broken plugin must never take the command line down: each entry point is loaded in its own ``try``, each
implementation is called in its own ``try``, and what went wrong is kept in ``failures()``.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from enum import Enum, auto
from importlib import metadata
from typing import Final, TypeVar, TypeVarTuple

import pluggy

from pixelflow.core import hookspecs, kinds
from pixelflow.core.component import ComponentParams
from pixelflow.core.plugin_source import source_sha256, top_levels
from pixelflow.core.plugin_watch import marked, watched
from pixelflow.core.registry import BUILT_IN, registry
from pixelflow.system import terminal
from pixelflow.system.errors import one_line

ENTRY_POINT_GROUP = __name__.partition(".")[0]
"""``pixelflow``; a copy of the package under another name, as exports bring it along, finds no plugins of this one."""
DISABLE_VARIABLE = "PIXELFLOW_DISABLE_PLUGINS"


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
_sources: dict[str, str | None] = {}
"""Name of a plugin -> hash of its source, as it was when it was imported."""
_managers: list[pluggy.PluginManager] = []
"""The manager, once everything is registered; empty before."""

T = TypeVar("T")
Given = TypeVarTuple("Given")


class _Failed(Enum):
    """In place of what a call would have returned."""

    FAILED = auto()


_FAILED: Final = _Failed.FAILED


def failures() -> list[Failure]:
    """Every failure met while loading; loads first if nothing was loaded yet."""
    load()
    return list(_failures)


def third_party() -> list[Plugin]:
    """The plugins found through entry points, broken ones included."""
    load()
    return list(_plugins)


def source_of(plugin: Plugin) -> str | None:
    """The hash of the source that a plugin was imported from; None where it has no files."""
    return _sources.get(plugin.name)


def code_of(plugin: Plugin) -> str:
    """What tells a plugin's code from others: its distribution, version and source."""
    return " ".join(filter(None, (plugin.distribution, source_of(plugin))))


def failure_note(name: str) -> str:
    """A clause on the broken plugins that may own component `name`, or an empty string.

    The prefix of a name is its plugin's by convention only; where none fits, a prefixed name may be any's.
    """
    prefix, dot, _ = name.partition(".")
    fitting = [failure for failure in _failures if prefix in failure.plugin]
    chosen = fitting or (_failures if dot else [])
    return "".join(f"; plugin {failure.plugin} is broken: {failure.reason}" for failure in chosen)


def absence_note(name: str) -> str:
    """A clause on the plugin that would own component `name`, if none of that name is installed."""
    prefix, dot, _ = name.partition(".")
    is_here = any(plugin.name == prefix for plugin in _plugins)
    return f"; no plugin {prefix!r} is installed" if dot and prefix and not is_here else ""


def load() -> pluggy.PluginManager:
    """Register built-ins, then every installed plugin; idempotent and cheap after the first call."""
    if not _managers:
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        _load_built_ins(manager)
        if not os.environ.get(DISABLE_VARIABLE):
            with redirect_stdout(sys.stderr):  # what a plugin prints must not stand in the output of `schema`
                for plugin, entry_point in _found():
                    _load_third_party(manager, plugin, entry_point)
        _managers.append(manager)
        _refuse_unusable_settings()
    return _managers[0]


def _load_built_ins(manager: pluggy.PluginManager) -> None:
    if registry.kinds():
        raise RuntimeError("a spec is validated while plugins are still being imported; do that inside a function")
    for module_name in kinds.rooms():
        module = importlib.import_module(module_name)
        manager.register(module, module_name)
        for cls in module.register_components():
            registry.add(cls, BUILT_IN)


def _found() -> list[tuple[Plugin, metadata.EntryPoint]]:
    """All entry points of the group. A distribution that lies on the path twice counts where it comes first."""
    owners: dict[str, metadata.Distribution] = {}
    found = []
    for distribution in metadata.distributions():
        for entry_point in distribution.entry_points.select(group=ENTRY_POINT_GROUP):
            name = _guarded(Plugin(entry_point.name, ""), "its metadata cannot be read", _canonical, distribution)
            if name is not _FAILED and owners.setdefault(name, distribution) is distribution:
                plugin = Plugin(entry_point.name, f"{distribution.name} {distribution.version}")
                found.append((plugin, entry_point))
    return found


def _canonical(distribution: metadata.Distribution) -> str:
    """The normalised name of PEP 503; LookupError where the distribution has none."""
    if not distribution.name:
        raise LookupError("a distribution's METADATA file is missing or has no name; install it anew")
    return re.sub(r"[-_.]+", "-", distribution.name).lower()


def _load_third_party(manager: pluggy.PluginManager, plugin: Plugin, entry_point: metadata.EntryPoint) -> None:
    taken = [known for known in _plugins if known.name == plugin.name]
    if taken:
        _fail(plugin, f"{plugin.distribution} and {taken[0].distribution} both register a plugin of this name")
        return
    _plugins.append(plugin)
    module = _guarded(plugin, "cannot be imported", _under_watch, plugin, entry_point, entry_point.load)
    if module is _FAILED:
        return
    hook = _guarded(plugin, "is refused", _register, manager, module, plugin.name)
    if hook is _FAILED:
        return
    _register_kinds(manager, plugin, entry_point)
    classes = _guarded(plugin, "register_components failed", _under_watch, plugin, entry_point, hook)
    if classes is not _FAILED:
        _register_classes(plugin, classes)
    own = [entry.cls.__module__ for _, _, entry in registry if entry.origin == plugin.origin]
    beside = [] if entry_point.dist is None else top_levels(entry_point.dist)
    _sources[plugin.name] = source_sha256([entry_point.module, *own], beside)


def _under_watch(plugin: Plugin, entry_point: metadata.EntryPoint, call: Callable[[], T]) -> T:
    """Call what runs a plugin's own code."""
    with marked(plugin.name, entry_point.value), watched(plugin.origin, DISABLE_VARIABLE):
        return call()


def _register(manager: pluggy.PluginManager, module: object, name: str) -> Callable[[], object]:
    """Register with pluggy, check what it lets pass, and return the plugin's hook."""
    manager.register(module, name)
    try:
        manager.check_pending()
        hook = _implementation(manager.hook.register_components, name)
        if hook is None:
            raise LookupError("it implements no hook; mark register_components with @pixelflow.hookimpl")
        return hook
    except BaseException:
        manager.unregister(name=name)
        raise


def _implementation(hook: pluggy.HookCaller, name: str) -> Callable[[], object] | None:
    return next((one.function for one in hook.get_hookimpls() if one.plugin_name == name), None)


def _register_kinds(manager: pluggy.PluginManager, plugin: Plugin, entry_point: metadata.EntryPoint) -> None:
    hook = _implementation(manager.hook.register_kinds, plugin.name)
    rows = [] if hook is None else _guarded(plugin, "register_kinds failed", _under_watch, plugin, entry_point, hook)
    if rows is _FAILED:
        return
    if not isinstance(rows, (list, tuple)):
        _fail(plugin, f"register_kinds returned {type(rows).__name__}, not a list of kinds")
        return
    for row in rows:
        _guarded(plugin, "register_kinds failed", kinds.add, row, plugin.origin)


def _register_classes(plugin: Plugin, classes: object) -> None:
    if not isinstance(classes, (list, tuple)):
        _fail(plugin, f"register_components returned {type(classes).__name__}, not a list of component classes")
        return
    listed = _guarded(plugin, "register_components failed", list, classes)
    for cls in () if listed is _FAILED else listed:
        _guarded(plugin, "", registry.add, cls, plugin.origin)


def _refuse_unusable_settings() -> None:
    """Take out components of unknown kinds, or whose Params pydantic cannot handle: one would spoil every spec."""
    for plugin in _plugins:
        for kind, name, entry in list(registry):
            if entry.origin == plugin.origin:
                what = f"the Params of {kind} {name!r} cannot be used"
                if _guarded(plugin, what, _build_schema, kind, entry.cls.Params) is _FAILED:
                    registry.remove(kind, name)


def _build_schema(kind: str, params: type[ComponentParams]) -> None:
    if kind not in kinds.known():
        raise LookupError(f"{kinds.unknown(kind, kinds.known())}; a plugin adds a kind by its hook register_kinds")
    params.model_rebuild(force=True)
    params.model_json_schema()


def _guarded(plugin: Plugin, what: str, call: Callable[[*Given], T], *args: *Given) -> T | _Failed:
    """Call; record any failure and return _FAILED. SystemExit too, which a careless module may raise."""
    try:
        return call(*args)
    except KeyboardInterrupt:
        terminal.say(f"pixelflow: interrupted in plugin {plugin.name}")
        raise
    except BaseException as error:
        cause = one_line(error)
        _fail(plugin, f"{what}: {cause}" if what else cause, traceback.format_exc())
        return _FAILED


def _fail(plugin: Plugin, reason: str, details: str = "") -> None:
    _failures.append(Failure(plugin.name, reason, details))
