"""Stand-ins for components that a kept spec names and no plugin brings here, so that all else of it can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

from pydantic import ConfigDict, PrivateAttr

from pixelflow.core import kinds, plugins
from pixelflow.core.component import ComponentParams, Settings, components
from pixelflow.system.errors import MissingDependencyError

Find = Callable[[str, str], str | None]
"""``find(kind, name)``: the distribution that brought a component, "" where that is not known, None to refuse it."""

_find: ContextVar[Find | None] = ContextVar("absent", default=None)


class Absent(ComponentParams):
    """The settings of a component that is not here; whatever is asked of it says so."""

    model_config = ConfigDict(extra="allow")
    type: str
    _kind: str = PrivateAttr("")
    _owner: str = PrivateAttr("")
    _reason: str = PrivateAttr("")

    def build(self, *others: object, **wiring: object) -> NoReturn:
        """Raise MissingDependencyError."""
        raise MissingDependencyError(self._reason)

    def check(self, *given: object) -> None:
        """Nothing is known to be wrong."""

    def plain(self) -> Absent:
        """Itself."""
        return self

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            if name.startswith("_"):
                raise
            raise MissingDependencyError(self._reason) from None


@contextmanager
def allowed(find: Find) -> Iterator[None]:
    """Within, a spec may name components that are not registered, if `find` knows them."""
    token = _find.set(find)
    try:
        yield
    finally:
        _find.reset(token)


def by_name(kind: str, name: str) -> str | None:
    """Finds every component with a prefix in its name, as those of plugins have it."""
    return "" if "." in name else None


def among(spec: Settings) -> Find:
    """Finds what is absent in a spec already, to validate that spec with changes."""
    owners = {(one._kind, one.type): one._owner for one in components(spec) if isinstance(one, Absent)}
    return lambda kind, name: owners.get((kind, name))


def stand_in(kind: str, block: Mapping[str, object]) -> Absent | None:
    """In the place of a component that is not registered; None where it may not be absent."""
    find, name = _find.get(), block.get("type")
    owner = find(kind, name) if find is not None and isinstance(name, str) else None
    if owner is None:
        return None
    found = Absent.model_validate(dict(block))
    found._kind, found._owner = kind, owner
    found._reason = f"the {kind} {name!r} {_whereabouts(str(name), owner)}; {_cure(kind)}"
    return found


def _whereabouts(name: str, owner: str) -> str:
    plugin = owner.rpartition(" ")[0]
    here = [one.distribution for one in plugins.third_party() if plugin and one.distribution.startswith(f"{plugin} ")]
    note = plugins.failure_note(name)
    if here and not note:
        return f"is of {owner}, and {here[0]}, which is installed, does not have it"
    whose = owner or f"a plugin that is not on record ({name.partition('.')[0]}, by its name)"
    return f"is of {whose}, which {'does not load' if here else 'is not installed'}{note}"


def _cure(kind: str) -> str:
    known = kinds.known().get(kind)
    return " or ".join(filter(None, ["install it", known.instead if known else ""]))
