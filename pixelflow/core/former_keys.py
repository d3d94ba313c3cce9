"""Settings under the names of earlier versions: renamed before anything is checked, whoever wrote them.

A spec that people wrote carries no format number, so a former key is known by its name: `Settings.former_keys` of the
block that it stands in says what became of it, for components of plugins as for built-in ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

from pixelflow.core.component import Settings
from pixelflow.core.document import Document, Key, dotted
from pixelflow.core.problems import shown
from pixelflow.core.slots import Slot
from pixelflow.system.errors import SpecError

Place = TypeVar("Place")


class SettingsBlock(NamedTuple):
    """A block of keys and values within plain data."""

    model: type[BaseModel]
    """What it is validated by."""
    data: dict[str, object]
    key: Key
    """Where it stands."""


def blocks(annotation: object, data: object, key: Key = ()) -> Iterator[SettingsBlock]:
    """Every block within `data`, outer ones first; those of components by their types, as far as these are known."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        slots = [extra for extra in arguments[1:] if isinstance(extra, Slot)]
        yield from blocks(slots[0].params_at(data) if slots else arguments[0], data, key)
    elif origin in (Union, UnionType):
        for one in arguments:
            yield from blocks(one, data, key)
    elif isinstance(data, list) and origin in (tuple, list):
        for index, item in enumerate(data):
            yield from blocks(arguments[0], item, (*key, index))
    elif isinstance(data, dict) and origin is dict:
        for name, item in data.items():
            yield from blocks(arguments[1], item, (*key, name))
    elif isinstance(data, dict) and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield SettingsBlock(annotation, data, key)
        for name, info in annotation.model_fields.items():
            if name in data:
                whole = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
                yield from blocks(whole, data[name], (*key, name))


def renamed(model: type[BaseModel], document: Document, say: Callable[[str], None]) -> Document:
    """The document with today's keys; the document itself where it has no others.

    Args:
        say: is told each key once a document, however often that is changed and read again.

    Raises:
        SpecError: a former key stands beside the present one, or has a value that it never could have.
    """
    changed = document
    while (found := next(_former(model, changed.data), None)) is not None:
        if changed is document:
            changed = copy.deepcopy(document)
            changed.told = document.told
        else:
            _rename(changed, *found, say)
    return changed


def _former(model: type[BaseModel], data: object) -> Iterator[tuple[SettingsBlock, str]]:
    for block in blocks(model, data):
        if issubclass(block.model, Settings):
            for name in block.model.former_keys:
                if name in block.data:
                    yield block, name


def _rename(document: Document, block: SettingsBlock, former: str, say: Callable[[str], None]) -> None:
    """Put today's keys in the place of one; an override wins over what the file says under another name."""
    key, now = (*block.key, former), block.model.former_keys[former]  # type: ignore[attr-defined]
    place, is_overridden = document.place(key), _is_overridden(document, key)
    value = block.data.pop(former)
    try:
        settings = {now: value} if isinstance(now, str) else dict(now(value))
    except (TypeError, ValueError, LookupError, AttributeError):
        raise SpecError(f"{place} {dotted(key)}: cannot be {shown(value)}") from None
    for name, setting in settings.items():
        own = (*block.key, name)
        if name in block.data and is_overridden == _is_overridden(document, own):
            raise SpecError(f"{place} {dotted(key)}: is now {dotted(own)}, which is given too; remove one")
        if name not in block.data or is_overridden:
            block.data[name] = setting
            _move(document, key, own)
    names = " and ".join(dotted((*block.key, name)) for name in settings)
    line = f"{place} {dotted(key)} is now {names or 'without effect'}"
    if line not in document.told:
        document.told.add(line)
        say(line)


def _is_overridden(document: Document, key: Key) -> bool:
    """Whether an override set what stands under a key, or around or within it."""
    return any(key[: len(known)] == known[: len(key)] for known in document.overridden)


def _move(document: Document, key: Key, own: Key) -> None:
    """Errors at and below `own` are those of the places at and below `key`."""
    _copy_below(document.places, key, own)
    _copy_below(document.overridden, key, own)


def _copy_below(known: dict[Key, Place], key: Key, own: Key) -> None:
    known.update({(*own, *at[len(key) :]): place for at, place in known.items() if at[: len(key)] == key})


def first_name(model: type[Settings], name: str) -> str:
    """What a setting was called at first, by which it is known for ever where names tell contents."""
    return next((former for former, now in model.former_keys.items() if now == name), name)


def first_named(model: type[BaseModel], data: object) -> object:
    """Plain data with every setting under its first name."""
    changed = copy.deepcopy(data)
    for block in list(blocks(model, changed)):
        if issubclass(block.model, Settings):
            for name in list(block.data):
                block.data[first_name(block.model, name)] = block.data.pop(name)
    return changed
