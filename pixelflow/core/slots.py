"""``Slot``: a place in a spec for any registered component of a kind."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pixelflow.core import plugins
from pixelflow.core.absent import Absent, stand_in
from pixelflow.core.component import Component, ComponentParams
from pixelflow.core.problems import problem, shown
from pixelflow.core.registry import DuplicateNameError, registry

Block = ComponentParams | dict[str, object]
"""What a slot makes a component's settings of."""


def params_of(value: object) -> object:
    """The settings of a component that Python hands over: of a class (its defaults), an instance, or they themselves.

    What is not registered is, from here on. object other value is returned as it is.

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
    known: Mapping[str, type[Component]],
    value: ComponentParams,
    dump: SerializerFunctionWrapHandler,
    info: SerializationInfo,
) -> object:
    """Serialise a slot's value: of a stand-in what was read; what came after the schema was made serialises itself."""
    if isinstance(value, Absent):
        return {"type": value.type, **(value.__pydantic_extra__ or {})}
    is_known = known.get(value.component.type_name()) is value.component
    return dump(value) if is_known else value.model_dump(mode=info.mode)


@dataclass(frozen=True)
class Slot:
    """Annotation ``Annotated[Kind.Params, Slot("kind")]``: any registered component of the kind.

    A bare name stands for the component with its defaults: ``up: nearest`` is ``up: {type: nearest}``.
    """

    kind: str
    usual: str | None = None
    """The component that a block without ``type`` is of; None where it must say."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
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

    def params_at(self, data: object) -> type[ComponentParams] | None:
        """The settings that a block is validated by; None where its type is unknown."""
        plugins.load()
        entry = registry.of_kind(self.kind).get(str(data.get("type", self.usual))) if isinstance(data, dict) else None
        return entry.cls.Params if entry else None

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, object]:
        union = handler(schema["schema"])
        choices = [{"enum": list(registry.of_kind(self.kind))}, union]
        if self.usual is not None:
            usual = handler.resolve_ref_schema({"$ref": union["discriminator"]["mapping"][self.usual]})
            choices.append({**usual, "required": [name for name in usual["required"] if name != "type"]})
        return {"anyOf": choices}

    def _validated(
        self, known: Mapping[str, type[Component]], value: object, validate: ValidatorFunctionWrapHandler
    ) -> object:
        """The settings; `known` were there when the schema was made, later ones validate themselves."""
        block = self._expand(value)
        if isinstance(block, Absent):
            return block
        name = str(block["type"]) if isinstance(block, dict) else block.component.type_name()
        entry = registry.of_kind(self.kind).get(name)
        if entry is None or known.get(name) is entry.cls:
            return validate(block)
        given = block if isinstance(block, dict) else block.model_dump()
        return entry.cls.Params.model_validate(given)

    def _expand(self, value: object) -> Block:
        """Turn a bare name into a block, and name what is registered when the type is missing or unknown."""
        if isinstance(value, str):
            value = {"type": value}
        if isinstance(value, dict):
            if self.usual is not None and "type" not in value:
                value = {"type": self.usual, **value}
            known, name = registry.of_kind(self.kind), value.get("type")
            if isinstance(name, str) and name in known:
                return value
            if name is None:
                names = ", ".join(known)
                raise PydanticCustomError("slot_type_missing", "needs 'type', one of: {known}", {"known": names})
            return stand_in(self.kind, value) or self._refused(name, known)
        if value is None or isinstance(value, (bool, int, float, list, tuple)):
            raise problem(f"needs the name of a {self.kind}, or a block with 'type', not {shown(value)}")
        return value if isinstance(value, Absent) else self._handed_over(value)

    def _handed_over(self, value: object) -> Block:
        """What Python may hand over in place of a name or a block: a component of the kind, its class or its Params."""
        try:
            found = params_of(value)
        except (TypeError, DuplicateNameError) as error:
            raise problem(str(error)) from None
        kind = found.component.kind if isinstance(found, ComponentParams) else getattr(value, "kind", None)
        if not isinstance(found, (ComponentParams, dict)) or kind != self.kind:
            raise problem(f"needs the name of a {self.kind}, or a block with 'type', not {shown(value)}")
        return found

    def _refused(self, name: object, known: Iterable[str]) -> NoReturn:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        why = plugins.failure_note(str(name)) or plugins.absence_note(str(name))
        raise PydanticCustomError(
            "slot_type_unknown",
            "no {kind} is called {name}{hint} (there are: {known}){why}",
            {"kind": self.kind, "name": repr(name), "hint": hint, "known": ", ".join(known), "why": why},
        )
