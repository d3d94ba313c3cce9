"""The registry: (kind, name) -> component class and where it came from; and ``Slot``, a place for one in a spec."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, get_args

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
)
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


SESSION = "this session"
"""Origin of components that Python hands over."""


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

    def hand_over(self, cls: type[Component]) -> None:
        """Register what Python hands over: a class of a script or a notebook's cell, in place of its former definition.

        Raises TypeError on what is not a component, DuplicateNameError where another one has the name.
        """
        _check_component(cls)
        own = self._entries.setdefault(cls.kind, {})
        taken = own.get(cls.type_name())
        if taken is None or (taken.origin == SESSION and _place(taken.cls) == _place(cls)):
            own[cls.type_name()] = Entry(cls, SESSION)
        elif taken.cls is not cls:
            raise DuplicateNameError(f"the {cls.kind} name {cls.type_name()!r} is already taken by {taken.origin}")

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


def _place(cls: type) -> tuple[str, str]:
    """Where a class is defined; a cell that runs again defines another class in the same place."""
    return cls.__module__, cls.__qualname__


registry = Registry()


def params_of(value: Any) -> Any:
    """The settings of a component that Python hands over: of a class (its defaults), an instance, or they themselves.

    What is not registered is, from here on. Any other value is returned as it is.

    Raises:
        TypeError, DuplicateNameError: see `Registry.hand_over`.
    """
    made_of = type(value).component if isinstance(value, ComponentParams) and not isinstance(value, Absent) else value
    cls = made_of if isinstance(made_of, type) else type(made_of)
    if not issubclass(cls, Component):
        return value
    registry.hand_over(cls)
    if isinstance(value, ComponentParams):
        return value
    return value.params if isinstance(value, Component) else {"type": cls.type_name()}


def _dumped(
    known: Mapping[str, type[Component]], value: Any, dump: SerializerFunctionWrapHandler, info: SerializationInfo
) -> Any:
    """Serialise a slot's value; what was handed over after the schema was made serialises itself."""
    is_known = isinstance(value, Absent) or known.get(value.component.type_name()) is value.component
    return dumped(value, dump) if is_known else value.model_dump(mode=info.mode)


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
        known = {name: entry.cls for name, entry in registry.of_kind(self.kind).items()}
        choices = {name: handler.generate_schema(cls.Params) for name, cls in known.items()}
        union = core_schema.tagged_union_schema(choices, discriminator="type", strict=True)
        written = core_schema.wrap_serializer_function_ser_schema(
            partial(_dumped, known), is_field_serializer=False, info_arg=True, schema=union
        )
        return core_schema.no_info_wrap_validator_function(
            partial(self._validated, known), union, serialization=written
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        union = handler(schema["schema"])
        choices = [{"enum": list(registry.of_kind(self.kind))}, union]
        if self.usual is not None:
            usual = handler.resolve_ref_schema({"$ref": union["discriminator"]["mapping"][self.usual]})
            choices.append({**usual, "required": [name for name in usual["required"] if name != "type"]})
        return {"anyOf": choices}

    def _validated(
        self, known: Mapping[str, type[Component]], value: Any, validate: ValidatorFunctionWrapHandler
    ) -> Any:
        """The settings; `known` were there when the schema was made, later ones validate themselves."""
        block = self._expand(value)
        if isinstance(block, Absent):
            return block
        name = block["type"] if isinstance(block, dict) else block.component.type_name()
        entry = registry.of_kind(self.kind).get(name)
        if entry is None or known.get(name) is entry.cls:
            return validate(block)
        given = block if isinstance(block, dict) else block.model_dump()
        return entry.cls.Params.model_validate(given)

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
        return value if isinstance(value, Absent) else self._handed_over(value)

    def _handed_over(self, value: Any) -> Any:
        """What Python may hand over in place of a name or a block: a component of the kind, its class or its Params."""
        try:
            found = params_of(value)
        except (TypeError, DuplicateNameError) as error:
            raise problem(str(error)) from None
        kind = found.component.kind if isinstance(found, ComponentParams) else getattr(value, "kind", None)
        if not isinstance(found, (ComponentParams, dict)) or kind != self.kind:
            raise problem(f"needs the name of a {self.kind}, or a block with 'type', not {shown(value)}")
        return found

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
