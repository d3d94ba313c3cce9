"""What a plugin's kind must keep, so that components, the schema and check-plugin know it as a built-in one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, get_args, get_origin

from pixelflow.contracts.checking import ContractError, expect
from pixelflow.core import kinds
from pixelflow.core.component import Component
from pixelflow.core.kinds import Kind
from pixelflow.core.registry import registry
from pixelflow.core.slots import Slot


def has_an_interface(row: Kind) -> None:
    """Its interface can be imported, is derived from Component and has the kind's name."""
    interface = _resolved(row.interface)
    if not (isinstance(interface, type) and issubclass(interface, Component)):
        raise ContractError(f"{row.interface} is not derived from pixelflow.core.component.Component")
    expect(interface.kind == row.name, f"{row.interface} has kind = {interface.kind!r}, not {row.name!r}")


def has_a_slot(row: Kind) -> None:
    """Its slot is an option, or a setting of a component, written as KEY=NAME or KEY=[NAME]."""
    key, _, value = row.slot.partition(" " if row.slot.startswith("--") else "=")
    expect(value in ("NAME", "[NAME]") and bool(key), f"the slot is {row.slot!r}")
    if key.startswith("--"):
        return
    setting = key.rpartition(".")[2]
    fields = [entry.cls.Params.model_fields.get(setting) for _, _, entry in registry]
    held = {slot.kind for info in fields if info for slot in _slots(Annotated[(info.annotation, *info.metadata, None)])}
    expect(row.name in held, f"no component has a setting {setting!r} with Slot({row.name!r})")


def has_checks(row: Kind) -> None:
    """It has checks; each can be imported, and its docstring says what it promises."""
    found = [_resolved(reference) for reference in row.checks]
    checks = [check for each in found for check in (each if isinstance(each, tuple) else (each,))]
    expect(bool(checks), "it has none")
    silent = [str(getattr(check, "__name__", check)) for check in checks if not getattr(check, "__doc__", None)]
    expect(not silent, f"{', '.join(silent)} has no docstring")


def has_a_page(row: Kind) -> None:
    """It says where it is described."""
    expect(bool(row.page), "page is empty; give an address")


def has_a_skeleton(row: Kind) -> None:
    """The module that ``pixelflow new-plugin`` copies, if it names one, holds one component of it."""
    if not row.skeleton:
        return
    held = _resolved(f"{row.skeleton}:__dict__")
    assert isinstance(held, dict)
    classes = {one for one in held.values() if isinstance(one, type) and issubclass(one, Component)}
    own = [one for one in classes if one.kind == row.name and one.__module__ == row.skeleton]
    expect(len(own) == 1, f"{row.skeleton} holds {len(own)} components of it, not one")


CHECKS = (has_an_interface, has_a_slot, has_checks, has_a_page, has_a_skeleton)


def _resolved(reference: str) -> object:
    try:
        return kinds.resolved(reference)
    except Exception as error:
        raise ContractError(f"{reference!r} leads nowhere: {type(error).__name__}: {error}") from None


def _slots(annotation: object) -> Iterator[Slot]:
    """Every slot within an annotation."""
    if get_origin(annotation) is Annotated:
        yield from (extra for extra in get_args(annotation)[1:] if isinstance(extra, Slot))
    for part in get_args(annotation):
        yield from _slots(part)
