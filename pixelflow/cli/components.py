"""``pixelflow components``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pixelflow.cli import completing
from pixelflow.system.terminal import tell

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

    from pixelflow.core.registry import Registration


def components(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="KIND", help="Only this kind, e.g. sampler.", autocompletion=completing.kinds),
    ] = None,
) -> None:
    """List all components. Every one that a spec can name, with its origin and parameters."""
    from pixelflow.core import kinds, plugins
    from pixelflow.core.registry import registry
    from pixelflow.system.errors import UsageError

    failures = plugins.failures()
    known = sorted(kinds.known())
    if kind is not None and kind not in known:
        raise UsageError(kinds.unknown(kind, known))
    for name in known if kind is None else [kind]:
        row = kinds.known()[name]
        tell(name if row.room else f"{name}: {row.title}  {row.page}".rstrip(), "")
        for entry in registry.of_kind(name).values():
            tell(*_described(entry), "")
    for failure in failures:
        tell(f"broken plugin {failure.plugin}: {failure.reason}")


def _described(entry: Registration) -> list[str]:
    """A component's name, origin and first line, and a line or two for each parameter."""
    import inspect

    from pixelflow.core.interfaces import Sampler

    cls = entry.cls
    summary = (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
    lines = [f"  {cls.type_name()}  [{entry.origin}]", f"      {summary}"]
    if issubclass(cls, Sampler):
        cost = "NFE as its tolerances need" if cls.is_adaptive else f"NFE a step: {cls.nfe_per_step:g}"
        lines.append(f"      order {cls.order}; {cost}")
    properties = _properties(cls.Params.model_json_schema())
    for name, info in cls.Params.model_fields.items():
        if name != "type":
            default = "" if info.is_required() else f" = {_plain(info.get_default(call_default_factory=True))}"
            lines.append(f"      {name}{default}  ({_values(properties[name])})")
            lines.append(f"          {' '.join((info.description or '').split())}")
    return [line.rstrip() for line in lines if line.strip()]


def _properties(schema: JsonSchemaValue) -> dict[str, JsonSchemaValue]:
    """Settings that may hold a component of their own kind are described behind a reference."""
    block = schema["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    properties: dict[str, JsonSchemaValue] = block["properties"]
    return properties


def _plain(value: object) -> str:
    """A default as it is written in a spec."""
    import json

    from pydantic import BaseModel

    return json.dumps(value.model_dump(mode="json") if isinstance(value, BaseModel) else value, default=str)


_NOUNS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "array": "list",
    "object": "block",
}
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "greater than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
}


def _values(schema: JsonSchemaValue) -> str:
    """What a parameter may be, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_values(branch) for branch in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " | ".join(str(choice) for choice in schema.get("enum", [schema.get("const")]))
    noun = _NOUNS.get(schema.get("type", "object"), "block")
    if "items" in schema:
        noun += f" of {_values(schema['items'])}"
    limits = [text.format(schema[name]) for name, text in _LIMITS.items() if name in schema]
    return ", ".join([noun, *limits])
