"""Pages of the reference: settings, components, commands and the Python interface, as the code describes them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer.main
from pydantic import BaseModel

from pixelflow.cli.app import app
from pixelflow.cli.components import _plain, _properties, _values
from pixelflow.core import kinds, plugins
from pixelflow.core.component import Component
from pixelflow.core.registry import registry
from pixelflow.core.spec import ExperimentSpec

MODULES = {
    "pixelflow": "What a notebook needs: train, load, evaluate, read specs, register components.",
    "pixelflow.generation.run": "An opened run: images, velocities, evaluations.",
    "pixelflow.core.cascade": "Stages, states and targets; renoising between stages.",
    "pixelflow.core.schedule": "Where each stage begins and ends.",
    "pixelflow.core.renoising": "Gain and noise of any linear separable upsampler.",
    "pixelflow.core.sampling": "The loop over stages.",
    "pixelflow.core.packing": "Mixed resolutions as one token sequence.",
    "pixelflow.core.exactness": "The linear Gaussian oracle.",
    "pixelflow.system.errors": "Errors and exit codes.",
}
"""Modules that programs use, and what each is for."""


def pages() -> dict[str, str]:
    """Path below ``reference/`` -> Markdown."""
    plugins.load()
    of_kinds = {f"components/{kind.name}.md": "\n".join(_of_kind(kind)) for kind in kinds.BUILT_IN}
    of_modules = {f"api/{name}.md": _of_module(name) for name in MODULES}
    return {
        "settings.md": "\n".join(_settings()),
        "components/index.md": "\n".join(_components()),
        "commands.md": "\n".join(_commands()),
        "api/index.md": "\n".join(_modules()),
        **of_kinds,
        **of_modules,
    }


def _cell(text: str) -> str:
    """Text for one cell of a table."""
    text = re.sub(r"``([^`]+)``", r"`\1`", " ".join(text.split()))
    return text.replace("|", "\\|")


def _table(settings: type[BaseModel]) -> Iterator[str]:
    """A row for each of a block's settings."""
    properties = _properties(settings.model_json_schema())
    fields = {name: info for name, info in settings.model_fields.items() if name != "type"}
    blocks = dict(_blocks(settings)) if settings is ExperimentSpec else {}
    if not fields:
        yield "No settings."
        return
    yield from ("| setting | what it may be | default | what it means |", "|---|---|---|---|")
    for name, info in fields.items():
        default = "" if info.is_required() else f"`{_plain(info.get_default(call_default_factory=True))}`"
        shown = default if len(default) < 80 else ""
        what, described = _values(properties[name]), info.description or ""
        if name in blocks:
            what, shown = f"[block](#{name})", ""
            described = described or (inspect.getdoc(blocks[name]) or "").partition("\n\n")[0]
        yield f"| `{name}` | {_cell(what)} | {_cell(shown)} | {_cell(described)} |"


def _blocks(settings: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The blocks of a spec that are no components."""
    for name, info in settings.model_fields.items():
        kind: Any = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, Component.Params):
            yield name, kind


def _settings() -> Iterator[str]:
    yield from ("# Settings", "", inspect.getdoc(ExperimentSpec) or "", "")
    yield "Blocks in which a `type` is chosen are [components](components/index.md)."
    yield from ("", "## At the top", "", *_table(ExperimentSpec))
    for name, block in _blocks(ExperimentSpec):
        yield from ("", f"## {name}", "", _prose(inspect.getdoc(block) or ""), "", *_table(block))


def _prose(text: str) -> str:
    """A docstring as Markdown."""
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def _components() -> Iterator[str]:
    yield from ("# Components", "", "Everything that a spec can name, by kind.", "")
    yield from ("| kind | what it is | built in |", "|---|---|---|")
    for kind in kinds.BUILT_IN:
        names = ", ".join(f"`{name}`" for name in _of(kind.name))
        yield f"| [{kind.name}]({kind.name}.md) | {kind.title} | {names} |"
    yield from ("", "```{toctree}", ":hidden:", "", *(kind.name for kind in kinds.BUILT_IN), "```")


def _of(kind: str) -> dict[str, type[Component]]:
    return {name: entry.cls for name, entry in registry.of_kind(kind).items() if entry.origin == "pixelflow"}


def _of_kind(kind: kinds.Kind) -> Iterator[str]:
    yield from (f"# {kind.name.capitalize()}{'' if kind.name in ('times', 'guidance') else 's'}", "")
    yield f"{kind.title.capitalize()}. Chosen by `{kind.slot}`; its interface and how to write one: "
    yield f"[{kind.name}](../../docs/kinds/{kind.name}.md)."
    for name, cls in _of(kind.name).items():
        yield from ("", f"## {name}", "", _prose(inspect.getdoc(cls) or ""), "", *_table(cls.Params))
    yield from ("", "```{toctree}", ":hidden:", "", f"../../docs/kinds/{kind.name}", "```")


def _commands() -> Iterator[str]:
    yield from ("# Commands", "", "What `pixelflow COMMAND --help` says.")
    group: Any = typer.main.get_command(app)
    yield from _command("pixelflow", group, group.context_class(group, info_name="pixelflow"), 2)


def _command(path: str, command: Any, parent: Any, level: int) -> Iterator[str]:
    for name, below in command.commands.items():
        if below.hidden:
            continue
        context = below.context_class(below, info_name=name, parent=parent)
        yield from ("", f"{'#' * level} {path} {name}", "", "```text", below.get_help(context), "```")
        if hasattr(below, "commands"):
            yield from _command(f"{path} {name}", below, context, level + 1)


def _modules() -> Iterator[str]:
    yield from ("# Python", "", "| module | for |", "|---|---|")
    yield from (f"| [{name}]({name}.md) | {use} |" for name, use in MODULES.items())
    yield from ("", "```{toctree}", ":hidden:", "", *MODULES, "```")


def _of_module(name: str) -> str:
    return f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
