"""Reading specs: YAML with positions, ``key=value`` overrides, and every error as ``file:line:column key: ...``."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pixelflow.core import shipped, wording
from pixelflow.core.component import Settings
from pixelflow.core.document import Document, Key, is_plain, parse, parse_value
from pixelflow.core.former_keys import renamed
from pixelflow.core.problems import shown
from pixelflow.system import terminal
from pixelflow.system.errors import MissingInputError, SpecError
from pixelflow.system.streams import read_start

__all__ = ["Document", "dump", "override", "parse", "parse_bytes", "parse_value", "read_document", "validate"]

M = TypeVar("M", bound=BaseModel)

LARGEST = 1 << 20
"""Bytes of a spec."""


def read_document(path: Path) -> Document:
    """Read one YAML file.

    Raises:
        MissingInputError: there is no such file.
        SpecError: it is not YAML, or holds what specs may not; see `document.parse`.
    """
    try:
        raw = read_start(path, LARGEST + 1)
    except FileNotFoundError:
        raise MissingInputError(f"{path}: there is no such file{_near_file(path)}") from None
    except IsADirectoryError:
        inside = path / "spec.yaml"
        hint = f"; did you mean {inside}?" if inside.is_file() else "; name a file"
        raise MissingInputError(f"{path}: is a folder{hint}") from None
    except (OSError, ValueError) as error:
        raise MissingInputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(raw) > LARGEST:
        raise SpecError(f"{path}: is larger than {LARGEST} bytes; this is not a spec")
    return parse_bytes(raw, str(path))


def parse_bytes(raw: bytes, source: str) -> Document:
    """Parse what a YAML file holds; raises SpecError as `document.parse`, or where it is not UTF-8."""
    try:
        return parse(raw.decode("utf-8"), source)
    except UnicodeDecodeError as error:
        raise SpecError(f"{source}: is not UTF-8 text (byte {error.start}); is this a spec?") from None


def _near_file(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    here = [entry.name for entry in path.parent.iterdir()]
    coming_along = [] if path.suffix or path.name != str(path) else list(shipped.specs())
    near = difflib.get_close_matches(path.name, [*here, *coming_along], n=1)
    return f"; did you mean {path.parent / near[0]}?" if near else ""


def override(document: Document, assignments: Sequence[str], place: str | None = None) -> Document:
    """The document with ``key.path=value`` assignments applied; values are YAML, ``a.0=1`` reaches into lists.

    Setting a block's ``type`` replaces the block: its other settings belonged to the former type. Whatever replaces a
    block is applied before what lies in it, so that the order of assignments says nothing, but for those of one key.

    Args:
        place: where the assignments stand, for errors; by default each names itself.

    Raises:
        SpecError: an assignment cannot be read or leads through something that is not a block.
    """
    data = copy.deepcopy(document.data)
    if data is None and assignments:
        data = {}
    changed = Document(document.source, data, dict(document.places), dict(document.overridden), document.told)
    pieces = [_read_assignment(text, place or f"override {text!r}") for text in assignments]
    for path, value, where in sorted(pieces, key=lambda piece: _depth(piece[0])):
        _note(changed, _assign(data, path, value, where), where)
    return changed


def _read_assignment(text: str, where: str) -> tuple[list[str], object, str]:
    """The path and value of ``key.path=value``, and the place that errors name."""
    name, equals, value = text.partition("=")
    path = name.strip().split(".")
    if not equals or not all(path):
        raise SpecError(f"{where}: write it as key.path=value")
    return path, parse_value(value, where), where


def _depth(path: Sequence[str]) -> int:
    """How deep the block lies that an assignment replaces; a type replaces the block around it."""
    return len(path) - (path[-1] == "type")


def _note(document: Document, replaced: Key, where: str) -> None:
    """Errors at and below the key `replaced` are now this override's."""

    def is_outside(known: Key) -> bool:
        return known[: len(replaced)] != replaced

    document.places = {known: place for known, place in document.places.items() if is_outside(known)}
    document.overridden = {known: other for known, other in document.overridden.items() if is_outside(known)}
    document.overridden[replaced] = where


def _assign(data: Any, path: Sequence[str], value: object, where: str) -> Key:
    """Set the value at `path`, making blocks on the way; returns the key of what was replaced, or made a block."""
    key: list[str | int] = []
    made: Key | None = None
    *blocks, last = path
    for part in blocks:
        step = _step(data, part, where)
        if last == "type" and len(key) == len(blocks) - 1:
            if not _has_type(_value(data, step), value):
                data[step] = {"type": value}
            return (*key, step)
        before, data[step] = _value(data, step), _opened(_value(data, step))
        key.append(step)
        made = made or (None if data[step] is before else tuple(key))
        data = data[step]
    step = _step(data, last, where)
    data[step] = value
    return made or (*key, step)


def _step(data: object, part: str, where: str) -> str | int:
    """`part` as a key or index of `data`."""
    if isinstance(data, dict):
        return part
    if not isinstance(data, list):
        raise SpecError(f"{where}: {part!r} lies below {shown(data)}, which has no parts")
    if not (part.isascii() and part.isdigit() and len(part) < 10 and int(part) < len(data)):
        raise SpecError(f"{where}: {part!r} is no place in a list of {len(data)}, counted from 0")
    return int(part)


def _value(data: Any, step: str | int) -> object:
    return data.get(step) if isinstance(data, dict) else data[step]


def _opened(value: object) -> object:
    """What an override reaches into: a bare name stands for ``{type: name}``, nothing for an empty block."""
    if value is None:
        return {}
    return {"type": value} if isinstance(value, str) else value


def _has_type(block: object, name: object) -> bool:
    return isinstance(block, dict) and block.get("type") == name


def any_key(key: Key) -> bool:
    """True: every setting is needed."""
    return True


def validate(
    model: type[M],
    document: Document,
    say: Callable[[str], None] = terminal.say,
    is_needed: Callable[[Key], bool] = any_key,
) -> M:
    """Build `model` from a document, in which settings may have the names of earlier versions.

    Args:
        say: is told of such names.
        is_needed: whether the reader makes use of a setting (block, name) or of the whole document, (); where one
            that is not needed is wrong, the default takes its place.

    Raises:
        SpecError: one line for each problem, with its place, key and cure.
    """
    if not isinstance(document.data, dict):
        state = "is empty: it" if document.data is None else "is not a spec: it"
        raise SpecError(f"{document.place(())} {state} needs keys and values, such as  name: my-run")
    document = renamed(model, document, say)
    while True:
        try:
            return model.model_validate(document.data)
        except ValidationError as error:
            wrong = {key[:2] for key in wording.keys(document, error)}
            if any(is_needed(key) or not _holds(document.data, key) for key in wrong):
                raise SpecError(*wording.lines(model, document, error)) from None
            document = copy.deepcopy(document)
            for block, name in wrong:
                del document.data[block][name]


def _holds(data: dict[str, object], key: Key) -> bool:
    """Whether plain data hold a key of two parts that can be left out."""
    return len(key) == 2 and isinstance(block := data.get(str(key[0])), dict) and key[1] in block


def dump(settings: Settings) -> str:
    """YAML of settings, every default written out; `validate` reads it back to an equal object."""
    document = settings.model_dump(mode="json")
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes what this project's reader would take for something else, such as the text ``08``."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None if is_plain(text) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)
