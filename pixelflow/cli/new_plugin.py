"""``pixelflow new-plugin``.

The modules in ``skeleton/`` are working components named ``acme.*``, which are also the examples of docs/kinds, and a
command; the new plugin's name takes the place of ``acme``.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from pixelflow.cli import completing
from pixelflow.cli.added_component import (
    free_number,
    module_name,
    numbered,
    with_command,
    with_component,
    with_dependency,
)
from pixelflow.core import kinds
from pixelflow.system.errors import CannotWriteError, MissingDependencyError, UsageError, one_line
from pixelflow.system.terminal import tell

SKELETON = Path(__file__).with_name("skeleton")

COMMAND = "command"
KINDS = (*sorted(kind.name for kind in kinds.BUILT_IN), COMMAND)

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 40
_LARGEST = 1 << 20
"""Bytes of a plugin's pyproject.toml."""


def new_plugin(
    name: Annotated[str, typer.Argument(help="Its name, and the prefix of its components: acme gives acme.something.")],
    kind: Annotated[
        str,
        typer.Option(
            help=f"What it adds: {', '.join(KINDS)}; or an installed plugin's kind, such as superres.lowering.",
            autocompletion=completing.choices(KINDS),
        ),
    ] = "sampler",
    out: Annotated[Path, typer.Option(help="Where its folder is made.")] = Path(),
    add: Annotated[bool, typer.Option("--add", help="Add it to the plugin that is there already.")] = False,
) -> None:
    """Write a plugin that works as written: a folder to install with pip, with a component or command and its test."""
    _check(name, kind)
    folder = out / f"pixelflow-{name}"
    if add:
        known_to_pip = f"pip install -e {folder}  and  " if kind == COMMAND else ""
        added = _add(folder, name, kind)
        tell(f"{folder}: one more {kind}, {added}; next:  {known_to_pip}pixelflow check-plugin {name}")
        return
    _write(folder, files(name, kind))
    tell(f"{folder}: a new {kind}; next:  pip install -e {folder}  and  pixelflow check-plugin {name}")


def files(name: str, kind: str) -> dict[str, str]:
    """The plugin's files: path -> text."""
    from pixelflow.system.distribution import DISTRIBUTION

    package, module = _package(name), _skeleton(name, kind)
    own = f"{COMMAND}." if kind == COMMAND else ""
    words = {
        "dependencies": ", ".join(f'"{one}"' for one in (DISTRIBUTION, *_owner(kind))),
        "name": name,
        "package": package,
        "file": _file(kind),
        "title": module.partition('"""')[2].partition(".")[0],
        "component": _component(kind, module),
        "type": _type(name, kind, module),
    }
    words["choice"] = _choice(kind, words["type"])
    project = _filled("pyproject.toml", words)
    if kind == COMMAND:
        project = with_command(project, words["type"], f"{package}.{kind}:{words['component']}")
    return {
        f"{package}/{_file(kind)}.py": module,
        f"{package}/__init__.py": _filled(f"{own}__init__.py", words),
        "pyproject.toml": project,
        "README.md": _filled(f"{own}README.md", words),
        "tests/test_plugin.py": _filled(f"{own}test_plugin.py", words),
    }


def _add(folder: Path, name: str, kind: str) -> str:
    """Write one more component or command into a plugin's folder; returns its name. The plugin's test finds all."""
    from pixelflow.system.files import read_bytes, write_text

    package = _package(name)
    number = free_number(folder / package, _file(kind))
    module = _skeleton(name, kind)
    module = numbered(module, _component(kind, module), _type(name, kind, module), number)
    component, type_name, file = _component(kind, module), _type(name, kind, module), module_name(_file(kind), number)
    if kind == COMMAND:
        changed, target = folder / "pyproject.toml", f"{package}.{file}:{component}"
        text = with_command(read_bytes(changed, _LARGEST).decode(), type_name, target)
    else:
        changed = folder / package / "__init__.py"
        text = with_component(changed, f"{package}.{file}", component)
    for distribution in _owner(kind):
        project = folder / "pyproject.toml"
        write_text(project, with_dependency(read_bytes(project, _LARGEST).decode(), distribution))
    readme = folder / "README.md"
    told = f"\n{type_name}:\n\n    pixelflow {_choice(kind, type_name)}\n"
    write_text(folder / package / f"{file}.py", module)
    write_text(changed, text)
    if readme.is_file():
        write_text(readme, readme.read_text("utf-8").rstrip() + "\n" + told)
    return type_name


def _package(name: str) -> str:
    return f"pixelflow_{name.replace('-', '_')}"


def _file(kind: str) -> str:
    """What its module is called; ``lowering`` of a plugin's kind ``superres.lowering``."""
    return kind.rpartition(".")[2]


def _skeleton(name: str, kind: str) -> str:
    if kind in KINDS:
        return (SKELETON / f"{kind}.py").read_text(encoding="utf-8").replace('"acme.', f'"{name}.')
    row = kinds.known()[kind]
    try:
        module = inspect.getsource(importlib.import_module(row.skeleton))
        theirs, _ = _type(name, kind, module), _component(kind, module)
    except Exception as error:
        told = f"{kind}: its plugin's example, {row.skeleton}, cannot be used: {one_line(error)}"
        raise MissingDependencyError(told) from error
    return module.replace(f'"{theirs}"', f'"{name}.{_file(theirs)}"')


def _owner(kind: str) -> list[str]:
    """The distribution that brings a plugin's kind; nothing for the built-in ones."""
    from pixelflow.core import plugins

    owners = [] if kind in KINDS else plugins.third_party()
    return [
        own.distribution.rpartition(" ")[0]
        for own in owners
        if kind in (row.name for row in kinds.of_plugin(own.origin))
    ]


def _component(kind: str, module: str) -> str:
    """The name of the class, or of a command's function."""
    if kind == COMMAND:
        return _only(r"^def (\w+)\(", module)
    return _only(rf"^class (\w+)\({kinds.known()[kind].interface.rpartition(':')[2]}\):", module)


def _type(name: str, kind: str, module: str) -> str:
    """What people type: a component's type, or a command."""
    return f"{name}-{_component(kind, module)}" if kind == COMMAND else _only(r'type: Literal\["([^"]+)"\]', module)


def _choice(kind: str, type_name: str) -> str:
    return f"{type_name} RUN" if kind == COMMAND else kinds.known()[kind].choice(type_name)


def _only(pattern: str, text: str) -> str:
    (found,) = re.findall(pattern, text, re.MULTILINE)
    return str(found)


def _filled(file: str, words: dict[str, str]) -> str:
    return Template((SKELETON / f"{file}.txt").read_text(encoding="utf-8")).substitute(words)


def _check(name: str, kind: str) -> None:
    """Raise UsageError on a name that pip or Python would not take, and on an unknown kind."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise UsageError(
            f"a plugin cannot be called {name!r}: use at most {_LONGEST_NAME} small letters, digits and single "
            "dashes between them, a letter first, such as acme-samplers"
        )
    if name == "pixelflow" or name.startswith("pixelflow-"):
        raise UsageError(f"leave 'pixelflow' out of the name {name!r}: the folder gets it in front anyway")
    if kind not in KINDS:
        _check_added(kind)


def _check_added(kind: str) -> None:
    """Raise UsageError on a kind that no plugin has, or of which none can be written."""
    from pixelflow.core import plugins

    plugins.load()
    row = kinds.known().get(kind)
    if row is None:
        raise UsageError(kinds.unknown(kind, {*KINDS, *kinds.known()}))
    if not row.skeleton:
        raise UsageError(f"{kind}: its plugin names no example to copy (Kind.skeleton); derive from {row.interface}")


def _write(folder: Path, contents: dict[str, str]) -> None:
    if folder.exists():
        raise CannotWriteError(f"{folder} is there already; choose another name or --out, or remove it")
    try:
        for path, text in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        at = error.filename or folder
        raise CannotWriteError(f"{at}: cannot be written ({error.strerror}); choose another --out") from None
