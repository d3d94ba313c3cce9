"""The registry: (kind, name) -> component class and where it came from; and ``Slot``, a place for one in a spec."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pixelflow.core.absent import Absent, dumped, stand_in
from pixelflow.core.component import Component, ComponentParams
from pixelflow.core.problems import problem, shown


@dataclass(frozen=True)
class Entry:
    """One registered component."""

    cls: type[Component]
    origin: str
    """``pixelflow`` for built-ins, else the plugin's name and version."""


class DuplicateNameError(ValueError):
    """Two owners register one name of one kind."""


class Registry:
    """Components by kind and name. Filled by ``plugins.load()``; read by everyone else."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Entry]] = {}

    def add(self, cls: type[Component], origin: str) -> None:
        """Register `cls`; raises TypeError on what is not a component, DuplicateNameError on a taken name."""
        _check_component(cls)
        name = cls.type_name()
        taken = self._entries.setdefault(cls.kind, {}).get(name)
        if taken is not None:
            raise DuplicateNameError(f"the {cls.kind} name {name!r} is already taken by {taken.origin}")
        self._entries[cls.kind][name] = Entry(cls, origin)

    def remove(self, kind: str, name: str) -> None:
        """Take a component out again, before any spec could name it."""
        del self._entries[kind][name]

    def kinds(self) -> list[str]:
        """All kinds that have at least one component, sorted."""
        return sorted(self._entries)

    def of_kind(self, kind: str) -> dict[str, Entry]:
        """Name -> entry for one kind, in order of registration."""
        return dict(self._entries.get(kind, {}))

    def __iter__(self) -> Iterator[tuple[str, str, Entry]]:
        for kind in self.kinds():
            for name, entry in self._entries[kind].items():
                yield kind, name, entry


def _check_component(cls: Any) -> None:
    """Raise TypeError, naming the cure, unless `cls` is a complete component class."""
    if not (isinstance(cls, type) and issubclass(cls, Component) and cls.kind):
        raise TypeError(f"{cls!r} is not a component class: derive it from a kind of pixelflow.core.interfaces")
    abstract = sorted(getattr(cls, "__abstractmethods__", ()))
    if abstract:
        raise TypeError(f"{cls.__qualname__} does not define {', '.join(abstract)}")
    kind = next(base for base in reversed(cls.__mro__) if issubclass(base, Component) and base.__dict__.get("kind"))
    if "Params" not in cls.__dict__ or not issubclass(cls.Params, kind.Params):
        raise TypeError(f"{cls.__qualname__} needs  class Params({kind.__name__}.Params)  of its own")
    name = cls.type_name()
    if get_args(cls.Params.model_fields["type"].annotation) != (name,):
        raise TypeError(f'{cls.__qualname__}.Params needs a field  type: Literal["{name}"] = "{name}"')


registry = Registry()


@dataclass(frozen=True)
class Slot:
    """Annotation ``Annotated[Kind.Params, Slot("kind")]``: any registered component of the kind.

    A bare name stands for the component with its defaults: ``up: nearest`` is ``up: {type: nearest}``.
    """

    kind: str
    usual: str | None = None
    """The component that a block without ``type`` is of; None where it must say."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pixelflow.core import plugins

        plugins.load()
        choices = {
            name: handler.generate_schema(entry.cls.Params) for name, entry in registry.of_kind(self.kind).items()
        }
        union = core_schema.tagged_union_schema(choices, discriminator="type", strict=True)
        return core_schema.no_info_wrap_validator_function(
            self._validated, union, serialization=core_schema.wrap_serializer_function_ser_schema(dumped, schema=union)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        union = handler(schema["schema"])
        choices = [{"enum": list(registry.of_kind(self.kind))}, union]
        if self.usual is not None:
            usual = handler.resolve_ref_schema({"$ref": union["discriminator"]["mapping"][self.usual]})
            choices.append({**usual, "required": [name for name in usual["required"] if name != "type"]})
        return {"anyOf": choices}

    def _validated(self, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        block = self._expand(value)
        return block if isinstance(block, Absent) else validate(block)

    def _expand(self, value: Any) -> Any:
        """Turn a bare name into a block, and name what is registered when the type is missing or unknown."""
        if isinstance(value, str):
            value = {"type": value}
        if isinstance(value, dict):
            if self.usual is not None and "type" not in value:
                value = {"type": self.usual, **value}
            return self._known(value)
        if value is None or isinstance(value, (bool, int, float, list, tuple)):
            raise problem(f"needs the name of a {self.kind}, or a block with 'type', not {shown(value)}")
        if not isinstance(value, Absent):
            self._check_object(value)
        return value

    def _check_object(self, value: Any) -> None:
        """Refuse what Python may hand over in place of a name or a block: all but the Params of what is registered."""
        made_of = value.component if isinstance(value, ComponentParams) else value
        cls = made_of if isinstance(made_of, type) else type(made_of)
        if not issubclass(cls, Component):
            raise problem(f"needs the name of a {self.kind}, or a block with 'type', not {shown(value)}")
        entry = registry.of_kind(self.kind).get(cls.type_name())
        if entry is None or entry.cls is not cls:
            raise problem(
                f"{cls.__qualname__} is not a registered {self.kind}: let a plugin's register_components return it "
                "(pixelflow new-plugin writes one), or name one that is there"
            )
        if not isinstance(value, ComponentParams):
            raise problem(f"needs the name {cls.type_name()!r}, a block, or {cls.__qualname__}.Params(...)")

    def _known(self, block: dict[str, Any]) -> Any:
        """The block, if its type is registered, or what may stand in for it."""
        known, name = registry.of_kind(self.kind), block.get("type")
        if isinstance(name, str) and name in known:
            return block
        if name is None:
            raise PydanticCustomError(
                "slot_type_missing",
                "needs 'type', one of: {known}",
                {"known": ", ".join(known)},
            )
        return stand_in(self.kind, block) or self._refused(name, known)

    def _refused(self, name: Any, known: Iterable[str]) -> NoReturn:
        from pixelflow.core import plugins

        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        why = plugins.failure_note(str(name)) or plugins.absence_note(str(name))
        raise PydanticCustomError(
            "slot_type_unknown",
            "no {kind} is called {name}{hint} (there are: {known}){why}",
            {"kind": self.kind, "name": repr(name), "hint": hint, "known": ", ".join(known), "why": why},
        )
