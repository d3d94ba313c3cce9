"""Another component or command for a plugin that ``pixelflow new-plugin`` wrote."""

from __future__ import annotations

import re
from pathlib import Path

from pixelflow.system.errors import MissingInputError, UsageError

_RETURN = re.compile(r"^(\s+)return \[(.*)\]$", re.MULTILINE)


def numbered(module: str, component: str, type_name: str, number: int) -> str:
    """A skeleton's module as the plugin's second, third ... component of its kind, with names of its own."""
    if number == 1:
        return module
    renamed = re.sub(rf"\b{component}\b", f"{component}{number}", module)
    return renamed.replace(f'"{type_name}"', f'"{type_name}_{number}"')


def free_number(package: Path, kind: str) -> int:
    """1 for the first component of a kind, and so on; raises MissingInputError if there is no such plugin."""
    if not (package / "__init__.py").is_file():
        raise MissingInputError(f"{package / '__init__.py'}: there is no such plugin; leave --add out to write it")
    return next(number for number in range(1, 1000) if not (package / f"{module_name(kind, number)}.py").exists())


def module_name(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}_{number}"


def with_component(hook: Path, module: str, component: str) -> str:
    """The text of a plugin's ``__init__.py`` that registers one more component.

    Raises:
        UsageError: its hook was changed into something else than one list.
    """
    text = hook.read_text("utf-8")
    found = list(_RETURN.finditer(text))
    added = f"from {module} import {component}"
    if len(found) != 1:
        raise UsageError(
            f"{hook}: register_components does not end in one  return [...]; nothing was written. Give it that form, "
            f"or add by hand  {added}  and {component} to what it returns"
        )
    indent, listed = found[0][1].strip("\n"), found[0][2].strip().rstrip(",")
    both = f"{listed}, {component}" if listed else component
    start = found[0].start() + len(found[0][1]) - len(indent)
    head = text[:start].rstrip()
    return f"{head}\n{indent}{added}\n\n{indent}return [{both}]{text[found[0].end() :]}"


def with_dependency(project: str, distribution: str) -> str:
    """The text of a plugin's ``pyproject.toml`` that needs a distribution more."""
    if f'"{distribution}"' in project:
        return project
    return project.replace("dependencies = [", f'dependencies = ["{distribution}", ', 1)


_COMMANDS = '[project.entry-points."pixelflow.commands"]\n'


def with_command(project: str, command: str, target: str) -> str:
    """The text of a plugin's ``pyproject.toml`` with one more command, ``module:function``."""
    line = f'{command} = "{target}"\n'
    if _COMMANDS in project:
        return project.replace(_COMMANDS, _COMMANDS + line)
    return f"{project.rstrip()}\n\n{_COMMANDS}{line}"
