"""The command line: one table of commands, and the one place where errors become a line and an exit code.

A command is the function in ``pixelflow/cli/<name>.py`` that has the file's name; its docstring is its help.
``pixelflow sweep run`` is the function in ``sweep_run.py``. Those of plugins are added where one is called.
These files import torch, plugins and anything else that is slow inside the function, so that ``--help`` is instant.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from pixelflow.cli import plugin_commands
from pixelflow.cli.leaving import leave
from pixelflow.cli.plugin_commands import PluginCommand
from pixelflow.core.version import __version__
from pixelflow.system import terminal
from pixelflow.system.errors import CannotWriteError, MissingDependencyError, UsageError

COMMANDS = (
    "init",
    "data",
    "train",
    "cache_text",
    "runs",
    "diff",
    "rm",
    "plot",
    "ui",
    "sample",
    "interpolate",
    "eval",
    "bench",
    "tune",
    "train_extractor",
    "validate",
    "plan",
    "components",
    "schema",
    "doctor",
    "new_plugin",
    "check_plugin",
    "import_official",
    "export_official",
    "export_weights",
    "import_",
    "push",
)
"""Files of `pixelflow.cli`, in the order of ``pixelflow --help``; ``new_plugin`` becomes ``new-plugin``."""

GROUPS = {
    "sweep": ("Many experiments from one file, each done once.", ("run", "status", "report")),
    "export": ("A run as diffusers opens it, or its images as benchmarks read them.",
               ("diffusers", "geneval", "dpg", "t2i_compbench")),
}  # fmt: skip
"""Name of a group of commands -> its help and its commands; ``sweep run`` is `pixelflow.cli.sweep_run`."""

ALONE = frozenset(
    ("init", "interpolate", "bench", "tune", "train_extractor", "new_plugin", "import_official", "export_official",
     "export_weights", "import_", "push", "rm", "sweep_run", "export_diffusers")
)  # fmt: skip
"""Files of commands that compute or write, and know of no other process with which torchrun may have started them."""

_BUG = 1
_INTERRUPTED = 130

_Group = functools.partial(
    typer.Typer,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        terminal.tell(f"pixelflow {__version__}")
        raise typer.Exit


def pixelflow(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train, sample and evaluate cascades of flow matching in pixels, from one YAML spec.

    Start with:  pixelflow train digits  or  pixelflow init pictures
    """


def _typed(name: str) -> str:
    """A command's name as people type it; Python's own words have a ``_`` behind them."""
    return name.rstrip("_").replace("_", "-")


def _function(name: str) -> Callable[..., object]:
    """The function of the command `name`, from the file of the same name."""
    function: Callable[..., object] = vars(importlib.import_module(f"pixelflow.cli.{name}"))[name]
    return _with_homes(_by_one(function) if name in ALONE else function)


def _by_one(function: Callable[..., object]) -> Callable[..., object]:
    """A command that torchrun must not start."""

    @functools.wraps(function)
    def alone(**given: object) -> object:
        size = os.environ.get("WORLD_SIZE", "1")
        if size != "1" and "RANK" in os.environ:
            raise UsageError(f"this command works in one process, and torchrun started {size}; start it without")
        return function(**given)

    return alone


def _with_homes(function: Callable[..., object]) -> Callable[..., object]:
    """A command for which ``~`` works in all paths that it is given."""

    @functools.wraps(function)  # typer reads the arguments' names and types from what is wrapped
    def at_home(**given: object) -> object:
        return function(**{name: _at_home(value) for name, value in given.items()})

    return at_home


def _at_home(value: object) -> object:
    """Paths with their ``~`` written out, which shells leave in ``--out=~/runs``; anything else as it is.

    A run that lies elsewhere, ``hf://user/name`` or ``zoo:NAME``, is made one of the folder ``runs``.
    """
    from pixelflow.hub import ADDRESSES
    from pixelflow.system.files import at_home

    if isinstance(value, list):
        return [_at_home(one) for one in value]
    if not isinstance(value, Path):
        return value
    if str(value).startswith(ADDRESSES):
        from pixelflow.hub.address import local_run

        return local_run(value, Path("runs"))
    try:
        return at_home(value)
    except ValueError as error:
        raise UsageError(str(error)) from None


def application(epilog: str | None = None) -> typer.Typer:
    """All built-in commands; their help ends with `epilog`."""
    whole = _Group(name="pixelflow", epilog=epilog)
    whole.callback()(pixelflow)
    for name in COMMANDS:
        whole.command(_typed(name))(_function(name))
    for name, (explained, commands) in GROUPS.items():
        group = _Group(name=name, help=explained)
        for command in commands:
            group.command(_typed(command))(_function(f"{name}_{command}"))
        whole.add_typer(group)
    return whole


app = application()

BUILT_IN = (*map(_typed, COMMANDS), *GROUPS)
"""Names of commands as people type them."""


@functools.cache
def _whole() -> Callable[..., int | None]:
    """The application without plugins' commands, made once: typer reads all signatures anew at every call of `app`."""
    made: Callable[..., int | None] = typer.main.get_command(app)
    return made


def _called(arguments: Sequence[str]) -> tuple[Callable[..., int | None], PluginCommand | None]:
    """The application, with a plugin's command if that is called; plugins are looked for where no built-in one is.

    Raises:
        PixelflowError: the command cannot be used.
    """
    if os.environ.get(plugin_commands.COMPLETE):
        return _for_completion(), None
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    if name in BUILT_IN:
        return _whole(), None
    commands = plugin_commands.found(BUILT_IN)
    own = next((command for command in commands if command.name == name), None)
    if own is None:
        return application(plugin_commands.listing(commands)), None
    if own.refused:
        raise UsageError(own.refused)
    whole = application()
    whole.command(own.name)(_with_homes(own.function()))
    return whole, own


def _for_completion() -> typer.Typer:
    """The application with the commands of plugins, for a shell that asks what TAB may offer."""
    whole, line = application(), plugin_commands.line_to_complete()
    for command in plugin_commands.found(BUILT_IN):
        if not command.refused:
            named = whole.command(command.name, help=f"of {command.distribution}")
            named(_with_homes(plugin_commands.offered(command, line)))
    return whole


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; see `pixelflow.system.errors`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    ordered = ["--debug"] * debug + [argument for argument in given if argument != "--debug"]
    terminal.catch_log()
    plugin: PluginCommand | None = None
    try:
        called, plugin = _called(ordered)
        code = called(ordered or ["--help"], prog_name="pixelflow", standalone_mode=False) or 0
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except Exception as error:
        if debug:
            terminal.say(*traceback.format_exc().splitlines())
        code = _report(error, ordered, plugin)
    lost = terminal.flush()
    if lost and not code:
        code = _report(CannotWriteError(lost), ordered)
    if arguments is None:  # the whole process is this command
        leave(code)
    sys.exit(code)


def _report(error: Exception, arguments: Sequence[str], plugin: PluginCommand | None = None) -> int:
    """Print what went wrong on stderr, a line for each problem; return the exit code."""
    from pixelflow.system.machine import as_ours

    if (known := as_ours(error)) is not None:
        terminal.say(*(f"pixelflow: {line}" for line in known.lines))
        return known.exit_code
    code, message = _BUG, f"{type(error).__name__}: {error}"
    if isinstance(error, typer.TyperException):
        code, message = UsageError.exit_code, _misuse(error)
    elif isinstance(error, ImportError) and (found := _foreign()):
        code, message = MissingDependencyError.exit_code, found
    else:
        first = next(iter(message.splitlines()), "")
        given = [argument for argument in arguments if argument != "--debug"]
        whose = f" of {plugin.distribution}" if plugin else ""
        message = f"this is a bug{whose}: {first}; for details: pixelflow --debug {' '.join(given)}"
    terminal.say(f"pixelflow: {message}")
    return code


def _foreign() -> str | None:
    from pixelflow.system.distribution import foreign

    return foreign()


def _misuse(error: typer.TyperException) -> str:
    """Typer's message, which names the nearest command or option, as one line with the help that has the rest."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "pixelflow"
    message = error.format_message().rstrip(".")
    if command == "pixelflow sweep" and message.startswith("No such command") and not message.endswith("?"):
        message += "; a sweep file is run by  pixelflow sweep run FILE"
    return f"{message}{' See' if message.endswith('?') else '; see'} {command} --help"
