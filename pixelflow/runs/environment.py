"""What a process computes with: versions, platform, and the code of the plugins that its settings use."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata

from pixelflow.core import plugins
from pixelflow.core.plugin_use import used
from pixelflow.core.version import __version__
from pixelflow.system.records import Body

_PACKAGES = (
    "torch", "numpy", "einops", "pillow", "pluggy", "pydantic", "safetensors", "scikit-learn", "scipy", "torchdiffeq",
    "clean-fid", "open-clip-torch", "transformers", "xformers",
)  # fmt: skip
_COMPARED = ("pixelflow", "python", "platform")


def environment(classes: Sequence[str], *settings: object) -> Body:
    """Versions, platform and plugins of this process, with the names of the classes.

    Args:
        settings: of whose components the plugins count; others may be installed, and do not matter.
    """
    return {
        "pixelflow": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name)) is not None},
        "plugins": {
            plugin.name: {
                "distribution": plugin.distribution,
                "source_sha256": plugins.source_of(plugin),
                "components": components,
            }
            for plugin, components in used(*settings).items()
        },
        "broken_plugins": [f"{failure.plugin}: {failure.reason}" for failure in plugins.failures()],
        "classes": list(classes),
    }


def changes(before: Body, now: Body) -> list[str]:
    """What differs between two environments and may change what is computed, a clause each.

    A plugin that only one of them uses is no difference: it came or went with a setting.
    """
    told = [
        f"{name} {before[name]} then, {now[name]} now" for name in _COMPARED if before.get(name, now[name]) != now[name]
    ]
    for name in dict.fromkeys([*before.get("packages", {}), *now["packages"]]):
        then, here = before.get("packages", {}).get(name), now["packages"].get(name)
        if then != here:
            told.append(f"{name} {then or 'missing'} then, {here or 'missing'} now")
    return told + plugin_changes(before, now)


def plugin_changes(before: Body, now: Body) -> list[str]:
    """Which plugins are not what they were, a clause each; see `changes`."""
    return [clause for name in now["plugins"] for clause in _plugin_changes(name, before, now["plugins"][name])]


def _plugin_changes(name: str, before: Body, here: Body) -> list[str]:
    then = plugin_records(before).get(name)
    if then is None:
        return []
    if then["distribution"] != here["distribution"]:
        return [f"plugin {name}: {then['distribution']} then, {here['distribution']} now"]
    if then.get("source_sha256") not in (None, here["source_sha256"]):
        return [f"plugin {name} ({here['distribution']}): its source has changed"]
    return []


def plugin_records(kept: Body) -> dict[str, Body]:
    """What an environment tells of plugins, by name; runs of earlier versions list ``name (distribution version)``."""
    found = kept.get("plugins", {})
    if isinstance(found, Mapping):
        return {name: dict(record) for name, record in found.items() if isinstance(record, Mapping)}
    names = [str(origin).removesuffix(")").partition(" (") for origin in found]
    return {name: {"distribution": distribution} for name, _, distribution in names}


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
