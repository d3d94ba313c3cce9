"""Reading specs: YAML with positions, ``key=value`` overrides, and every error as ``file:line:column key: ...``.

Nobody else formats validation errors, so they look the same wherever a spec is used.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pixelflow.core.component import Settings
from pixelflow.core.errors import MissingInputError, SpecError

Key = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 50


@dataclass
class Document:
    """A YAML document as plain data, with the place (line, column) of every key."""

    source: str
    data: Any
    places: dict[Key, tuple[int, int]] = field(default_factory=dict)
    overridden: dict[Key, str] = field(default_factory=dict)
    """Keys that an override set, with its text."""

    def place(self, key: Key) -> str:
        """``file:line:column`` of a key, or of the nearest key around it; an override names itself."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.overridden:
                return f"override {self.overridden[key[:length]]!r}"
            if key[:length] in self.places:
                line, column = self.places[key[:length]]
                return f"{self.source}:{line}:{column}"
        return self.source


class _Loader(yaml.SafeLoader):
    """YAML 1.2 numbers and booleans: ``1e-4`` is a number, ``no`` and ``on`` are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[1] in ("null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|false|False)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
    list("-+.0123456789"),
)


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(str(node.value))


_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


def read_document(path: Path) -> Document:
    """Read one YAML file.

    Raises:
        MissingInputError: there is no such file.
        SpecError: it is not YAML, or holds duplicate keys, aliases or tags.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise MissingInputError(f"{path}: there is no such file{_near_file(path)}") from None
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be read ({error.strerror})") from None
    if len(raw) > _MAX_BYTES:
        raise SpecError(f"{path}: is larger than {_MAX_BYTES} bytes; this is not a spec")
    try:
        return parse(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def parse(text: str, source: str) -> Document:
    """Parse YAML text; see `read_document`."""
    loader = _Loader(text)
    document = Document(source, None)
    try:
        _refuse_aliases(text, source)
        node = loader.get_single_node()
        document.data = None if node is None else _plain(loader, node, (), document)
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise SpecError(f"{where} is not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(f"{source}: is not valid YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()
    return document


def _refuse_aliases(text: str, source: str) -> None:
    """Aliases can blow a small file up to any size, and specs do not need them."""
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            mark: Any = event.start_mark
            raise SpecError(f"{source}:{mark.line + 1}:{mark.column + 1} aliases (*name) are not allowed in specs")


def _plain(loader: _Loader, node: yaml.Node, key: Key, document: Document) -> Any:
    place = (node.start_mark.line + 1, node.start_mark.column + 1)
    document.places.setdefault(key, place)
    where = f"{document.source}:{place[0]}:{place[1]}"
    if len(key) > _MAX_DEPTH:
        raise SpecError(f"{where} is nested more than {_MAX_DEPTH} levels deep")
    if isinstance(node, yaml.MappingNode):
        return _plain_mapping(loader, node, key, document)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, child, (*key, index), document) for index, child in enumerate(node.value)]
    if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rsplit(":", 1)[1] not in _SCALARS:
        raise SpecError(f"{where} the tag {node.tag!r} is not allowed in specs")
    return loader.construct_object(node)


_SCALARS = ("null", "bool", "int", "float", "str")


def _plain_mapping(loader: _Loader, node: yaml.MappingNode, key: Key, document: Document) -> dict[str, Any]:
    if node.tag != "tag:yaml.org,2002:map":
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        raise SpecError(f"{document.source}:{line}:{column} the tag {node.tag!r} is not allowed in specs")
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
        where = f"{document.source}:{line}:{column}"
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
            raise SpecError(f"{where} a key must be plain text")
        name = str(key_node.value)
        if name in mapping:
            raise SpecError(f"{where} {_dotted((*key, name))}: this key stands here twice; remove one")
        document.places[*key, name] = (line, column)
        mapping[name] = _plain(loader, value_node, (*key, name), document)
    return mapping


def override(document: Document, assignments: Sequence[str]) -> Document:
    """The document with ``key.path=value`` assignments applied; values are YAML, ``a.0=1`` reaches into lists.

    Setting a block's ``type`` replaces the block: its other settings belonged to the former type.

    Raises:
        SpecError: an assignment cannot be read or leads through something that is not a block.
    """
    data = copy.deepcopy(document.data)
    changed = Document(document.source, data, dict(document.places), dict(document.overridden))
    for text in assignments:
        name, equals, value_text = text.partition("=")
        if not equals or not name.strip():
            raise SpecError(f"override {text!r}: write it as key.path=value")
        key: Key = tuple(int(part) if part.isdigit() else part for part in name.strip().split("."))
        value = parse(value_text, f"override {text!r}").data
        _assign(data, key, value, text)
        replaced = key[:-1] if key[-1] == "type" and len(key) > 1 else key
        changed.places = {known: place for known, place in changed.places.items() if known[: len(replaced)] != replaced}
        changed.overridden[replaced] = text
    return changed


def _assign(data: Any, key: Key, value: Any, text: str) -> None:
    *path, last = key
    for depth, part in enumerate(path):
        child = _child(data, part)
        if last == "type" and depth == len(path) - 1:
            if not isinstance(child, dict) or child.get("type") != value:
                _set(data, part, {"type": value}, text)
            return
        if isinstance(child, str):
            child = {"type": child}
            _set(data, part, child, text)
        elif child is None:
            child = {}
            _set(data, part, child, text)
        data = child
    _set(data, last, value, text)


def _child(data: Any, part: str | int) -> Any:
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return data.get(part) if isinstance(data, dict) else None


def _set(data: Any, part: str | int, value: Any, text: str) -> None:
    if isinstance(data, list) and isinstance(part, int):
        if part < len(data):
            data[part] = value
            return
        raise SpecError(f"override {text!r}: the list has only {len(data)} entries")
    if not isinstance(data, dict):
        raise SpecError(f"override {text!r}: {part!r} lies below something that is not a block")
    data[str(part)] = value


def validate(model: type[M], document: Document) -> M:
    """Build `model` from a document.

    Raises:
        SpecError: one line for each problem, with its place, key and cure.
    """
    if not isinstance(document.data, dict):
        raise SpecError(f"{document.place(())} needs keys and values, such as  name: my-run")
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        lines = [_line(model, document, details) for details in error.errors(include_url=False)]
        raise SpecError("\n".join(dict.fromkeys(lines))) from None


def _line(model: type[BaseModel], document: Document, details: Any) -> str:
    raw_location = tuple(details["loc"]) + tuple(details.get("ctx", {}).get("path", ()))
    key = _key_in(document.data, raw_location)
    message = details["msg"]
    kind = details["type"]
    if kind == "extra_forbidden":
        message = f"unknown key{_near_key(model, document.data, key)}"
    elif kind == "missing":
        message = "is missing"
    elif kind in ("value_error", "assertion_error"):
        message = message.partition(", ")[2] or message
    elif kind.startswith(("int_", "float_", "bool_", "string_", "literal_", "tuple_", "dict_", "finite_")):
        given = details["input"]
        message = message.removeprefix("Input ").strip() + (
            "" if isinstance(given, (dict, list)) else f", not {given!r}"
        )
    elif message.startswith("Input "):
        message = f"{message.removeprefix('Input ')}, not {details['input']!r}"
    return f"{document.place(key)} {_dotted(key)}: {message}"


def _key_in(data: Any, location: Sequence[str | int]) -> Key:
    """Pydantic's location without the tags of unions, which are no keys of the document."""
    key: list[str | int] = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        ):
            data = data[part]
        elif (
            (isinstance(data, dict) and data.get("type") == part and not is_last)
            or (
                isinstance(part, str) and (data == part or ("[" in part) or part in ("int", "float", "constrained-int"))
            )
            or (isinstance(data, dict) and data.get("type") == part)
        ):
            continue
        else:
            data = None
        key.append(part)  # type: ignore[arg-type]
    return tuple(key)


def _near_key(model: type[BaseModel], data: Any, key: Key) -> str:
    known = _known_keys(model, data, key[:-1])
    near = difflib.get_close_matches(str(key[-1]), known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f" (there are: {', '.join(known)})" if known else ""


def _known_keys(model: type[BaseModel], data: Any, path: Key) -> list[str]:
    """The keys that the block at `path` may have, following the validated types of components."""
    from pixelflow.core.registry import Slot, registry

    current: type[BaseModel] | None = model
    slot: str | None = None
    for part in path:
        data = _child(data, part)
        if isinstance(part, str):
            info = current.model_fields.get(part) if current else None
            found = [m.kind for m in info.metadata if isinstance(m, Slot)] if info else []
            annotation = info.annotation if info else None
            slot = found[0] if found else _slot_in(annotation)
            current = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
        if slot and isinstance(data, dict):
            entry = registry.of_kind(slot).get(str(data.get("type")))
            current = entry.cls.Params if entry else None
    return list(current.model_fields) if current else []


def _slot_in(annotation: Any) -> str | None:
    """The kind of a slot inside a container annotation such as ``tuple[AnyConditioner, ...]``."""
    from pixelflow.core.registry import Slot

    for argument in getattr(annotation, "__args__", ()):
        for extra in getattr(argument, "__metadata__", ()):
            if isinstance(extra, Slot):
                return extra.kind
    return None


def _near_file(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    near = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=1)
    return f"; did you mean {path.parent / near[0]}?" if near else ""


def _dotted(key: Key) -> str:
    return ".".join(str(part) for part in key) or "spec"


def dump(settings: Settings) -> str:
    """YAML of settings, every default written out; `validate` reads it back to an equal object."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
