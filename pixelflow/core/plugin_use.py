"""Which plugins stand behind settings: what is kept under a name must have another name when their code changes."""

from __future__ import annotations

import hashlib
import inspect
import uuid

from pixelflow.core import plugins
from pixelflow.core.component import ComponentParams, components
from pixelflow.core.plugins import Plugin
from pixelflow.core.registry import BUILT_IN, SESSION, registry


def owner(params: ComponentParams) -> Plugin | None:
    """The plugin that brings a component; None for what is built in, or not registered."""
    cls = getattr(type(params), "component", None)
    if cls is None:
        return None
    entry = registry.of_kind(cls.kind).get(cls.type_name())
    if entry is None or entry.cls is not cls or entry.origin == BUILT_IN:
        return None
    return next((plugin for plugin in plugins.third_party() if plugin.origin == entry.origin), None)


def used(*values: object) -> dict[Plugin, list[str]]:
    """The plugins whose components these settings name, with those components as ``kind name``."""
    found: dict[Plugin, list[str]] = {}
    for params in components(*values):
        plugin = owner(params)
        if plugin is not None:
            found.setdefault(plugin, []).append(f"{params.component.kind} {params.component.type_name()}")
    return {plugin: sorted(set(names)) for plugin, names in sorted(found.items(), key=lambda each: each[0].name)}


def _source_of(cls: type) -> str:
    """The hash of a class's source; of one that was typed where no source is kept, a new one each time."""
    try:
        return hashlib.sha256(inspect.getsource(cls).encode()).hexdigest()
    except (OSError, TypeError):
        return uuid.uuid4().hex


def codes(*values: object) -> dict[str, dict[str, str]]:
    """``{"plugins": {name: code}}`` of the plugins that these settings use, to go into a record; {} without any.

    Where no plugin is involved nothing is added, so that what earlier versions kept is still found.
    """
    found = {plugin.name: plugins.code_of(plugin) for plugin in used(*values)}
    for params in components(*values):
        cls = getattr(type(params), "component", None)
        if cls is None:
            continue
        entry = registry.of_kind(cls.kind).get(cls.type_name())
        if entry is not None and entry.cls is cls and entry.origin == SESSION:
            found[f"{cls.kind} {cls.type_name()} of {SESSION}"] = _source_of(cls)
    return {"plugins": found} if found else {}
