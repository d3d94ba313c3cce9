"""Commands that plugins bring, each an entry point of the group ``pixelflow.commands``: ``NAME = module:function``.

What there is, is known from the metadata of distributions alone, so that ``--help`` imports no plugin. Only the command
that is called is imported, under the same watch as plugins that bring components.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

import typer

from pixelflow.system.errors import MissingDependencyError, one_line

GROUP = "pixelflow.commands"

_DISABLE = "PIXELFLOW_DISABLE_PLUGINS"  # as in core/plugins.py, which imports pydantic
COMPLETE = "_PIXELFLOW_COMPLETE"
"""Set by the shell functions that ``--install-completion`` installs, to what is asked for."""
_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"


@dataclass(frozen=True)
class PluginCommand:
    """A command that a distribution brings, found and not yet imported."""

    name: str
    entry_point: metadata.EntryPoint
    distribution: str
    """Its name and version."""
    refused: str = ""
    """Why it cannot be called by its name; empty if it can."""

    def function(self) -> Callable[..., object]:
        """Import it.

        Raises:
            MissingDependencyError: it cannot be imported, or is no function that typer takes for a command.
        """
        from pixelflow.core.plugin_watch import marked, watched

        what = f"the command {self.name!r} of {self.distribution}"
        try:
            with marked(f"command {self.name}", self.entry_point.value), watched(self.distribution, _DISABLE):
                found = self.entry_point.load()
                if not callable(found):
                    raise TypeError(f"{self.entry_point.value} is not a function")
                alone = typer.Typer()
                alone.command()(found)
                typer.main.get_command(alone)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too, which a careless module may raise
            raise MissingDependencyError(f"{what} cannot be used: {one_line(error)}") from error
        command: Callable[..., object] = found
        return command


def found(built_in: Collection[str]) -> list[PluginCommand]:
    """All commands of plugins, by name; of what has a name of `built_in` or of another plugin is said so."""
    listed = [] if os.environ.get(_DISABLE) else sorted(_entry_points(), key=lambda pair: (pair[1].name, pair[0]))
    owners: dict[str, list[str]] = {}
    for owner, entry_point in listed:
        owners.setdefault(entry_point.name, []).append(owner)
    return [
        PluginCommand(entry.name, entry, owner, _refusal(entry.name, owners[entry.name], built_in))
        for owner, entry in listed
    ]


def _entry_points() -> set[tuple[str, metadata.EntryPoint]]:
    """Distribution and entry point; damaged distributions are left out, as `pixelflow components` names them."""
    versions: dict[str, str] = {}
    listed = set()
    for distribution in metadata.distributions():
        with suppress(Exception):
            name, version = distribution.name, distribution.version
            if versions.setdefault(name, version) == version:  # of two on the path the first counts
                listed |= {(f"{name} {version}", own) for own in distribution.entry_points.select(group=GROUP)}
    return listed


def _refusal(name: str, owners: Sequence[str], built_in: Collection[str]) -> str:
    if name in built_in:
        return f"pixelflow has a command {name!r} of its own; the plugin must call its command otherwise"
    if not re.fullmatch(_NAME, name):
        return f"{name!r} is no name of a command: small letters, digits and single dashes between them"
    if len(owners) > 1:
        return f"{' and '.join(owners)} both have a command {name!r}; uninstall one"
    return ""


def line_to_complete() -> list[str]:
    """The words behind ``pixelflow`` on the line of a shell that asks what TAB may offer."""
    return (os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")).split()[1:]


def offered(command: PluginCommand, line: Sequence[str]) -> Callable[..., object]:
    """The function of a command for TAB: it is imported where its options are asked for, and else only named."""
    with suppress(MissingDependencyError):
        if line[:1] == [command.name]:
            return command.function()
    return lambda: None


def listing(commands: Sequence[PluginCommand]) -> str:
    """The commands as a part of the help, under a heading of their own; empty without any."""
    if not commands:
        return ""
    width = max(len(one.name) for one in commands)
    told = [f"of {one.distribution}" + (f", refused: {one.refused}" if one.refused else "") for one in commands]
    rows = [f"  {one.name:{width}}  {text}" for one, text in zip(commands, told, strict=True)]
    return "\n".join(["\b", "Commands of plugins:", *rows])
