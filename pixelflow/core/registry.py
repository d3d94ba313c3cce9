"""The registry: (kind, name) -> component class and where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from pixelflow.core.component import Component


@dataclass(frozen=True)
class Registration:
    """One registered component."""

    cls: type[Component]
    origin: str
    """``pixelflow`` for built-ins, else the plugin's name and version."""


SESSION, BUILT_IN = "this session", "pixelflow"
"""Origins of components that Python hands over, and of those that come along."""


class DuplicateNameError(ValueError):
    """Two owners register one name of one kind."""


class Registry:
    """Components by kind and name. Filled by ``plugins.load()``; read by everyone else."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Registration]] = {}

    def add(self, cls: type[Component], origin: str) -> None:
        """Register `cls`; raises TypeError on what is not a component, DuplicateNameError on a taken name."""
        _check_component(cls)
        name = cls.type_name()
        taken = self._entries.setdefault(cls.kind, {}).get(name)
        if taken is not None:
            raise DuplicateNameError(f"the {cls.kind} name {name!r} is already taken by {taken.origin}")
        self._entries[cls.kind][name] = Registration(cls, origin)

    def hand_over(self, cls: type[Component]) -> None:
        """Register what Python hands over: a class of a script or a notebook's cell, in place of its former definition.

        Raises TypeError on what is not a component, DuplicateNameError where another one has the name.
        """
        _check_component(cls)
        own = self._entries.setdefault(cls.kind, {})
        taken = own.get(cls.type_name())
        if taken is None or (taken.origin == SESSION and _place(taken.cls) == _place(cls)):
            own[cls.type_name()] = Registration(cls, SESSION)
        elif taken.cls is not cls:
            raise DuplicateNameError(f"the {cls.kind} name {cls.type_name()!r} is already taken by {taken.origin}")

    def remove(self, kind: str, name: str) -> None:
        """Take a component out again, before any spec could name it."""
        del self._entries[kind][name]

    def kinds(self) -> list[str]:
        """All kinds that have at least one component, sorted."""
        return sorted(self._entries)

    def of_kind(self, kind: str) -> dict[str, Registration]:
        """Name -> entry for one kind, in order of registration."""
        return dict(self._entries.get(kind, {}))

    def __iter__(self) -> Iterator[tuple[str, str, Registration]]:
        for kind in self.kinds():
            for name, entry in self._entries[kind].items():
                yield kind, name, entry


def _check_component(cls: object) -> None:
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
