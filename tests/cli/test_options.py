"""The command line's commands and options are frozen in options.txt: knobs belong into the spec.

After a change that is meant, write the file anew:  python -m tests.cli.test_options
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from pixelflow.cli.app import app

FROZEN = Path(__file__).with_name("options.txt")


def listed() -> str:
    """A line for each command with its arguments, and one below for each option."""
    group: Any = typer.main.get_command(app)
    named = {"pixelflow": group}
    for name, command in group.commands.items():
        below = getattr(command, "commands", {})
        named |= {f"{name} {verb}": one for verb, one in below.items()} or {name: command}
    return "".join(_command(name, command) for name, command in named.items())


def _command(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    words = [_argument(one) for one in arguments]
    lines = [" ".join([name, *words]), *(f"  {'/'.join([*one.opts, *one.secondary_opts])}" for one in options)]
    return "\n".join(lines) + "\n"


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return (name if argument.required else f"[{name}]") + ("..." if argument.nargs == -1 else "")


def test_commands_and_options_are_frozen():
    assert listed() == FROZEN.read_text(encoding="utf-8"), (
        "the command line changed; if it was meant to, run: python -m tests.cli.test_options"
    )


if __name__ == "__main__":
    FROZEN.write_text(listed(), encoding="utf-8")
