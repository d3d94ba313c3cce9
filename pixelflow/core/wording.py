"""Pydantic's validation errors as lines for people: ``file:line:column key: what is wrong, and the cure``.

Nobody else formats validation errors, so they look the same wherever a spec is used.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterator, Sequence, Sized
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pixelflow.core.document import Document, Key, dotted, shortened
from pixelflow.core.former_keys import blocks
from pixelflow.core.problems import shown

_SHOWN = 20
"""Problems that are told of; nobody mends more at a time."""
_CONSIDERED = 500
"""Errors of pydantic's that are looked at; each is compared with all others."""
_WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "path_type": "the path of a file or folder",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a block of keys and values",
    "model_type": "a block of keys and values",
    "model_attributes_type": "a block of keys and values",
}
_TEXTS = {
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be greater than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "string_too_short": "must have at least {min_length} characters",
}


@dataclass(frozen=True)
class _Fault:
    """One of pydantic's errors, at a key of the document."""

    key: Key
    kind: str
    message: str
    given: object
    context: dict[str, object]

    @property
    def is_of_shape(self) -> bool:
        """Whether the value is of another shape than a branch of a union wants."""
        return self.kind in _WANTED and self.kind.endswith("_type")


def lines(model: type[BaseModel], document: Document, error: ValidationError) -> list[str]:
    """One line a problem, in the order of the model's fields."""
    faults = _faults(document, error)
    texts = [
        f"{document.place(fault.key)} {dotted(fault.key)}: {_text(model, document.data, fault, faults)}"
        for fault in faults[:_SHOWN]
    ]
    more = [f"{document.source}: and more than these {_SHOWN}"] if len(faults) > _SHOWN else []
    return [*dict.fromkeys(texts), *more]


def keys(document: Document, error: ValidationError) -> list[Key]:
    """What is wrong, by its place in the document."""
    return [fault.key for fault in _faults(document, error)]


def _faults(document: Document, error: ValidationError) -> list[_Fault]:
    found = error.errors(include_url=False)
    return _without_idle_branches([_fault(document.data, details) for details in found[:_CONSIDERED]])


def _fault(data: object, details: ErrorDetails) -> _Fault:
    context = details.get("ctx", {})
    key = _key_in(data, (*details["loc"], *context.get("path", ())), details["type"])
    return _Fault(key, details["type"], details["msg"], details["input"], context)


def _key_in(data: object, location: Sequence[Hashable], kind: str) -> Key:
    """Pydantic's location without the tags of unions, which are no keys of the document."""
    key: list[str | int] = []
    for position, part in enumerate(location):
        if kind == "missing" and isinstance(data, str):  # a component by its bare name lacks the last part
            return (*key, str(location[-1]))
        if not isinstance(part, (str, int)) or not isinstance(data, (dict, list)):
            break
        is_key = part in data if isinstance(data, dict) else isinstance(part, int) and part < len(data)
        if is_key:
            data = data[part]  # type: ignore[index]
            key.append(part)
        elif kind == "missing" and position == len(location) - 1 and isinstance(data, dict):
            key.append(part)
    return tuple(key)


def _without_idle_branches(faults: list[_Fault]) -> list[_Fault]:
    """Pydantic reports every branch of a union; keep those that the value's shape could have meant."""

    def is_idle(fault: _Fault) -> bool:
        rivals = [other for other in faults if other.key[: len(fault.key)] == fault.key and other is not fault]
        return fault.is_of_shape and any(other.key != fault.key or not other.is_of_shape for other in rivals)

    return [fault for fault in faults if not is_idle(fault)]


def _text(model: type[BaseModel], data: object, fault: _Fault, faults: Sequence[_Fault]) -> str:
    if fault.kind == "extra_forbidden":
        return f"unknown key{_near_key(model, data, fault.key)}"
    if fault.kind == "missing":
        return _missing(fault, faults)
    if fault.kind in ("value_error", "assertion_error"):
        return fault.message.partition(", ")[2] or fault.message
    if fault.kind in _WANTED:
        same = [other.kind for other in faults if other.key == fault.key and other.kind in _WANTED]
        wanted = " or ".join(dict.fromkeys(_WANTED[kind] for kind in same))
        return f"needs {wanted}, not {shown(fault.given)}{_cure(wanted, fault.given)}"
    if fault.kind in ("too_long", "too_short") and isinstance(fault.given, Sized):
        limits = {"too_long": "at most {max_length}", "too_short": "at least {min_length}"}
        return f"needs {limits[fault.kind].format(**fault.context)} entries, not {len(fault.given)}"
    if fault.kind in _TEXTS:
        told = {name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in fault.context.items()}
        wanted = _TEXTS[fault.kind].format(**told).replace("True", "true").replace("False", "false")  # as in YAML
        return f"{wanted}, not {shown(fault.given)}"
    return fault.message


def _cure(wanted: str, given: object) -> str:
    """How to write what was probably meant."""
    if wanted in ("text", _WANTED["path_type"]) and isinstance(given, (bool, int, float)):
        quoted = f"'{given}'" if not isinstance(given, bool) else f"'{str(given).lower()}'"
        return f'; put it in quotes: {quoted}, and "{quoted}" on a command line'
    if wanted == "a list" and isinstance(given, str) and given:
        return f"; a list of one is written [{shortened(given)}]"
    return "; a list of one block stands in brackets, [{...}]" if wanted == "a list" and isinstance(given, dict) else ""


def _missing(fault: _Fault, faults: Sequence[_Fault]) -> str:
    """Pydantic calls it missing when a list of fixed length is too short; then the key is the list's."""
    if not isinstance(fault.given, (list, tuple)):
        return "is missing; add this key"
    lacking = sum(other.kind == "missing" and other.key == fault.key for other in faults)
    return f"needs {len(fault.given) + lacking} entries, not {len(fault.given)}"


def _near_key(model: type[BaseModel], data: object, key: Key) -> str:
    known = _known_keys(model, data, key[:-1])
    name = str(key[-1])
    near = difflib.get_close_matches(name, known, n=1) or [one for one in known if _abbreviates(name, one)]
    near = near or list(_keys_called(model, name))
    if near:
        return f"; did you mean {' or '.join(repr(one) for one in near)}?"
    return f" (there are: {', '.join(known)})" if known else ""


def _abbreviates(name: str, key: str) -> bool:
    """Whether a name is made of the first letters of a key's words, as ``lr`` is of ``learning_rate``."""
    words = key.split("_")
    return len(words) > 1 and name == "".join(word[:1] for word in words)


def _keys_called(model: type[BaseModel], name: str, prefix: str = "") -> Iterator[str]:
    """Full keys of that name in the blocks of `model` that are no components."""
    for field, info in model.model_fields.items():
        if (field == name or _abbreviates(name, field)) and prefix:
            yield f"{prefix}{field}"
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _keys_called(info.annotation, name, f"{prefix}{field}.")


def _known_keys(model: type[BaseModel], data: object, path: Key) -> list[str]:
    """The keys that the block at `path` may have, following the validated types of components."""
    return next((list(block.model.model_fields) for block in blocks(model, data) if block.key == path), [])
