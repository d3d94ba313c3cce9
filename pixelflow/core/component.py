"""A component: a class of one kind, with its settings as a nested pydantic model.

Settings (what an experiment varies) live in ``Params``; wiring (what other components supply) arrives as
keyword-only constructor arguments. ``params.build(**wiring)`` makes the component.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import CoreSchema

from pixelflow.core.problems import problem, shown
from pixelflow.system.files import at_home

Count = Annotated[int, Field(ge=1, lt=2**31)]
"""A number of things, at least one."""
Compile = Literal["auto", True, False]
"""Whether to compile; ``auto``: where the work is long enough to earn it back."""

Precision = Literal["float32", "bfloat16", "float8"]
"""Of the numbers that a network works with when it is drawn from."""

FormerKey = str | Callable[[Any], Mapping[str, object]]
"""What became of a setting: its present name, or a function from its value to the settings that now say the same."""


class Settings(BaseModel):
    """Base of every settings model: no unknown keys, no mutation, no infinities, no silent conversions."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,
        validate_default=True,
        use_attribute_docstrings=True,
    )
    former_keys: ClassVar[Mapping[str, FormerKey]] = {}
    """Settings of earlier versions, each by the name that it had; the oldest name of a setting first."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _as_written(cls, raw: object, validate: ValidatorFunctionWrapHandler) -> object:
        """Refuse what pydantic would convert in silence: ``true`` for 1, ``"3"`` for 3, ``"yes"`` for true.

        A path's ``~`` becomes the home folder.
        """
        value = validate(raw)
        for path, given, wanted in _conversions(raw, value):
            raise problem(f"needs {wanted}, not {shown(given)}", *path)
        return _at_home(value)


def _conversions(raw: object, value: object) -> Iterator[tuple[tuple[int, ...], object, str]]:
    """(path, what was given, what is needed) of every value that validation converted."""
    if isinstance(raw, (list, tuple)) and isinstance(value, (list, tuple)):
        for index, pair in enumerate(zip(raw, value, strict=False)):
            for path, given, wanted in _conversions(*pair):
                yield (index, *path), given, wanted
    elif isinstance(value, bool) or isinstance(raw, bool):
        if type(raw) is not type(value):
            yield (), raw, _plain_name(value)
    elif isinstance(raw, str) and isinstance(value, (int, float)):
        yield (), raw, _plain_name(value)


def _at_home(value: object) -> object:
    """The value with ``~`` and ``~user`` of its paths written out; raises ValueError on one that has no home."""
    if isinstance(value, tuple):
        return tuple(_at_home(one) for one in value)
    return at_home(value) if isinstance(value, Path) else value


def _plain_name(value: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return names.get(type(value), type(value).__name__)


class ComponentParams(Settings):
    """Settings of a component; concrete ones add ``type: Literal["name"] = "name"``."""

    component: ClassVar[type[Component]]

    def build(self, *others: Any, **wiring: Any) -> Any:
        """Construct the component these settings describe.

        Each kind declares, for type checkers, what wiring its components are built with and what is built.
        """
        return self.component(self, *others, **wiring)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, object]:
        """Under the component's name and description; ``type`` is required, as wherever there is a choice."""
        reference = handler(schema)
        described = handler.resolve_ref_schema(reference)
        described["title"] = cls.component.type_name()
        described["description"] = inspect.getdoc(cls.component) or ""
        described["required"] = sorted({"type", *described.get("required", ())})
        return reference


class Component:
    """Base of all kinds. A kind sets ``kind``; a concrete class nests ``Params`` with its ``type``."""

    kind: ClassVar[str] = ""
    Params: ClassVar[type[ComponentParams]] = ComponentParams
    former_names: ClassVar[Mapping[str, str]] = {}
    """What was renamed of a kind: former name -> present one. Each stands for the other, called or defined."""
    revision: ClassVar[int] = 1
    """One more whenever equal settings come to give other results: a sweep then measures again."""
    params: ComponentParams

    def __init__(self, params: ComponentParams) -> None:
        super().__init__()
        self.params = params

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "Params" in cls.__dict__:
            cls.Params.component = cls
        own = dict(cls.__dict__)
        for pair in cls.former_names.items():
            for given, other in (pair, reversed(pair)):
                if given in own and other not in own:
                    setattr(cls, other, own[given])
        _check_wiring(cls)

    @classmethod
    def type_name(cls) -> str:
        """The name by which specs choose this class; raises TypeError on a class that has none."""
        field = cls.Params.model_fields.get("type")
        if field is None or not isinstance(field.default, str):
            raise TypeError(f'{cls.__qualname__}.Params needs a field  type: Literal["name"] = "name"')
        return field.default


def _check_wiring(cls: type[Component]) -> None:
    """Raise TypeError if a value would be both a setting and wiring."""
    settings = getattr(cls.Params, "model_fields", {})  # what is no Params is refused by its registration
    both = [name for name in inspect.signature(cls.__init__).parameters if name in settings]
    if both:
        raise TypeError(
            f"{cls.__qualname__}: {', '.join(map(repr, both))} cannot be a setting in Params and a keyword of "
            "__init__; keep one of the two"
        )


def components(*values: object) -> Iterator[ComponentParams]:
    """The settings of every component within these values, outer ones first."""
    for value in values:
        if isinstance(value, ComponentParams):
            yield value
        if isinstance(value, Settings):
            yield from components(*(own for _, own in value))
        elif isinstance(value, (list, tuple)):
            yield from components(*value)
        elif isinstance(value, Mapping):
            yield from components(*value.values())
