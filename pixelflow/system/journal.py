"""Files of JSON lines that only grow, where each line ends with a hash of itself and of the line before it.

``{"step": 3, ..., "format": 2, "sha256": "..."}``. Lines of format 1, which former versions wrote, have neither key and
stand before all others. A changed line is noticed by its own hash, a lost one by the hash of the next; what is lost at
the end, only by who remembers `Position`. The last line may be cut off by a crash and then says nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pixelflow.system.files import opened_to_add, writing

_FORMAT = 2
_SEAL = re.compile(rf', "format": {_FORMAT}, "sha256": "([0-9a-f]{{64}})"}}$')
_OWN = re.compile(r'"(format|sha256)": ')


@dataclass(frozen=True)
class Position:
    """So many lines, and the hash of the last."""

    lines: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Line:
    """A whole line of a journal."""

    text: str
    """As JSON, its seal included."""
    position: Position
    """Of its end."""
    is_sound: bool
    """Whether it is what was written, after what was written before it; of format 1 nobody can know."""
    is_sealed: bool


def sealed(line: Mapping[str, object], before: Position) -> Line:
    """The line to write after `before`; `line` is not empty and has no key of the seal."""
    body = json.dumps(dict(line))[:-1]
    own = _hash(before, body)
    text = f'{body}, "format": {_FORMAT}, "sha256": "{own}"}}'
    return Line(text, Position(before.lines + 1, own), True, True)


def checked(text: str, before: Position, after_sealed: bool) -> Line:
    """A line that was read after `before`; `after_sealed` tells whether a line before it has a seal."""
    found = _SEAL.search(text)
    if found is None:
        is_sound = not after_sealed and not _OWN.search(text)
        return Line(text, Position(before.lines + 1, _hash(before, text)), is_sound, False)
    is_sound = found[1] == _hash(before, text[: found.start()])
    return Line(text, Position(before.lines + 1, found[1]), is_sound, True)


def all_sealed(lines: Iterable[Mapping[str, object]]) -> Iterator[Line]:
    """The lines of a journal from its first on."""
    before = Position()
    for line in lines:
        new = sealed(line, before)
        before = new.position
        yield new


def all_checked(lines: Iterable[bytes]) -> Iterator[Line]:
    """Lines of a journal that were read from its first on."""
    before, has_seals = Position(), False
    for raw in lines:
        line = checked(raw.decode("utf-8", "surrogateescape"), before, has_seals)
        before, has_seals = line.position, has_seals or line.is_sealed
        yield line


def _hash(before: Position, text: str) -> str:
    return hashlib.sha256((before.sha256 + text).encode("utf-8", "surrogateescape")).hexdigest()


def append(path: Path, line: Line) -> int:
    """Add a line, whole or not at all; returns the size of the file behind it.

    Raises:
        CannotWriteError: the system refuses.
    """
    content = f"{line.text}\n".encode("utf-8", "surrogateescape")
    with writing(path), opened_to_add(path) as file:
        size = file.tell()
        try:
            if file.write(content) != len(content):
                raise OSError(0, "No space left on device")
        except BaseException:
            os.truncate(path, size)
            raise
        return size + len(content)
