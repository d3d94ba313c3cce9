"""YAML documents as plain data in which every key knows its line and column; only what a spec needs is allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from pixelflow.system.errors import SpecError

Key = tuple[str | int, ...]

_MAX_DEPTH = 50
_MAX_PARTS = 50_000
"""Keys, values and blocks of a document; the longest spec here has about 200."""
_SCALARS = ("null", "bool", "int", "float", "str")
_CURES = {
    "'\\t'": "indent with spaces, not tabs",
    "mapping values": "check the indentation, and put text that holds ': ' in quotes",
    "expected ':'": "a key needs a colon and a value",
    "expected <block end>": "check the indentation and the brackets",
    "expected ',' or": "a bracket is not closed",
    "unexpected end of stream": "a quote is not closed",
    "cannot start any token": "put the text in quotes ('...', and \"'...'\" on a command line)",
    "unknown escape": "use single quotes",
    "another document": "a spec is one document; remove the line '---'",
}
"""What to do about some of PyYAML's messages."""


@dataclass
class Document:
    """A YAML document as plain data, with the place (line, column) of every key."""

    source: str
    data: Any
    places: dict[Key, tuple[int, int]] = field(default_factory=dict)
    overridden: dict[Key, str] = field(default_factory=dict)
    """Keys that an override set, with the place that errors name."""
    told: set[str] = field(default_factory=set)
    """Notes that were said already; documents that were made of one another share them."""

    def place(self, key: Key) -> str:
        """``file:line:column`` of a key, or of the nearest key around it; for an override the place that it has."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.overridden:
                return self.overridden[key[:length]]
            if key[:length] in self.places:
                return _at(self.source, *self.places[key[:length]])
            below = [place for known, place in self.overridden.items() if known[:length] == key[:length]]
            if below and length:
                return below[-1]
        return self.source


class _Loader(yaml.SafeLoader):
    """YAML 1.2 numbers and booleans: ``1e-4`` is a number, ``no`` and ``on`` are text.

    It stops at what would make a small file large or slow, as it is met. Aliases can blow a file up to any size, and
    specs do not need them. The time that reading takes grows with depth squared.
    """

    source = ""
    """Of the text, for errors."""
    _depth = _parts = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # in the stubs of yaml
        if isinstance(event, yaml.AliasEvent):
            raise SpecError(
                f"{_where(self.source, event)} aliases (*name) are not allowed in specs; write the value out"
            )
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise SpecError(f"{_where(self.source, event)} is part {self._parts} of the document; this is not a spec")
        if self._depth > _MAX_DEPTH and isinstance(event, yaml.CollectionStartEvent):  # the document itself is none
            raise SpecError(f"{_where(self.source, event)} is nested more than {_MAX_DEPTH} levels deep")
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


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


def is_plain(text: str) -> bool:
    """Whether a text without quotes is read as itself, and not as a number, a truth value or nothing."""
    patterns = _Loader.yaml_implicit_resolvers.get(text[:1], [])
    return not any(pattern.match(text) for _, pattern in patterns)


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(str(node.value))


_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


def parse(text: str, source: str) -> Document:
    """Parse YAML text; `source` names it in errors.

    Raises:
        SpecError: it is not YAML, or holds duplicate keys, aliases, tags or too deep nesting.
    """
    document = Document(source, None)
    try:
        loader = _Loader(text)
        loader.source = source
        if (node := loader.get_single_node()) is not None:
            document.data = _plain(loader, node, (), document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _at(source, mark.line + 1, mark.column + 1) if mark else source
        raise SpecError(f"{where} is not valid YAML: {_cured(error.problem or error.context or '')}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        where = _at(source, before.count("\n") + 1, error.position - before.rfind("\n"))
        raise SpecError(f"{where} holds {_unreadable(error.character)}") from None
    return document


def _unreadable(character: int) -> str:
    """A character that YAML has no place for; of names on a command line, bytes that are no UTF-8 are such ones."""
    if 0xDC80 <= character <= 0xDCFF:
        return f"the byte {character - 0xDC00:#04x}, which is no UTF-8 text; give the file or folder another name"
    return f"the control character {character:#04x}; is this a text file?"


def parse_value(text: str, source: str) -> object:
    """The value of an option or of ``key=value``: YAML in which nothing is a comment, a directive or a document's mark.

    Raises:
        SpecError: as `parse` raises.
    """
    stand_in = next(mark for mark in map(chr, range(0xE000, 0xF8FF)) if mark not in text)
    indent = " " * text.startswith(("%", "---", "..."))  # they mean something else at the beginning of a line
    try:
        data = parse(indent + text.replace("#", stand_in), source).data
    except SpecError as error:
        raise SpecError(str(error).replace(stand_in, "#")) from None
    return _replaced(data, stand_in, "#")


def _replaced(data: object, old: str, new: str) -> object:
    """Plain data with `old` replaced in all keys and texts."""
    if isinstance(data, dict):
        return {key.replace(old, new): _replaced(value, old, new) for key, value in data.items()}
    if isinstance(data, list):
        return [_replaced(value, old, new) for value in data]
    return data.replace(old, new) if isinstance(data, str) else data


def _plain(loader: _Loader, node: yaml.Node, key: Key, document: Document) -> object:
    """The node as dict, list or scalar; notes the place of every key below `key`."""
    document.places.setdefault(key, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _plain_mapping(loader, node, key, document)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_plain(loader, child, (*key, index), document) for index, child in enumerate(node.value)]
    return _scalar(loader, node, document.source)


def _scalar(loader: _Loader, node: yaml.Node, source: str) -> object:
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind not in _SCALARS or not isinstance(node, yaml.ScalarNode):
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise SpecError(f"{_where(source, node)} the tag {tag} is not allowed in specs; remove it")
    try:
        return loader.construct_object(node)
    except (ValueError, KeyError):
        raise SpecError(f"{_where(source, node)} {shortened(repr(node.value))} cannot be read as {kind}") from None


def _plain_mapping(loader: _Loader, node: yaml.MappingNode, key: Key, document: Document) -> dict[str, object]:
    mapping: dict[str, object] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
            where = _where(document.source, key_node)
            raise SpecError(f"{where} a key must be plain text; put numbers and the like in quotes")
        name = str(key_node.value)
        if name in mapping:
            where = _where(document.source, key_node)
            raise SpecError(f"{where} {dotted((*key, name))}: this key stands here twice; remove one")
        document.places[*key, name] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        mapping[name] = _plain(loader, value_node, (*key, name), document)
    return mapping


def _where(source: str, part: yaml.Node | yaml.Event) -> str:
    mark: Any = part.start_mark
    return _at(source, mark.line + 1, mark.column + 1)


def _at(source: str, line: int, column: int) -> str:
    return f"{source}:{line}:{column}"


def _cured(problem: str) -> str:
    cures = [cure for part, cure in _CURES.items() if part in problem]
    return "; ".join([problem.removeprefix("but "), *cures[:1]])


def dotted(key: Key) -> str:
    """A key as it is written in overrides, on one line."""
    parts = [str(part) if str(part).isprintable() else repr(part) for part in key]
    return shortened(".".join(parts)) or "spec"


def shortened(text: str, longest: int = 80) -> str:
    """`text`, cut where it would not fit into a message."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
