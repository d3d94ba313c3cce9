"""Files that are kept and believed later: JSON with the number of its format and a hash of all that it says.

``format`` and ``content_sha256`` are the first keys of a document; the hash is of all others, and of the format, as
canonical JSON. Files of format 1, which former versions wrote, have neither key and open as they always did. A file
with one of the two must have both, and they must fit: no damage makes a new file an old one. A later format comes with
a step that makes the earlier one's content into its own; see `FileKind.migrations`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pixelflow.system.errors import DataError, first_line
from pixelflow.system.files import read_bytes, write_bytes

Body = dict[str, Any]
"""What a document says, without format and hash."""

Migration = Callable[[Body], Body]
"""From the content of one format to that of the next."""

FORMAT, HASH = "format", "content_sha256"

LARGEST = 1 << 30
"""Bytes of a document; a record of ten million captioned images has fewer."""


class LaterFormatError(DataError):
    """A file that a later version of pixelflow wrote."""


def later(where: str, number: object, newest: int) -> LaterFormatError:
    """The refusal of the file `where`, whose format this version does not know yet."""
    known = f"this version of pixelflow knows those up to {newest}"
    return LaterFormatError(f"{where}: is of format {number}, and {known}; use the version that wrote it")


def only_sealed(body: Body) -> Body:
    """The migration from format 1 to 2: the hash came, and the content stayed."""
    return body


@dataclass(frozen=True)
class FileKind:
    """One kind of document."""

    name: str
    """What it is, for people."""
    cure: str
    """What to do about a damaged one."""
    form: type[BaseModel] | None = None
    """What its content is checked against, as far as anybody relies on it."""
    migrations: tuple[Migration, ...] = (only_sealed,)
    """One step from each format to the next, oldest first."""

    @property
    def format(self) -> int:
        """The one that is written."""
        return 1 + len(self.migrations)

    def write(self, path: Path, body: Mapping[str, object]) -> None:
        """Replace `path` in one step; raises CannotWriteError."""
        write_bytes(path, self.dumps(body) + b"\n")

    def dumps(self, body: Mapping[str, object]) -> bytes:
        """The document as UTF-8."""
        plain = json.loads(json.dumps(body))  # as it will be read: keys are text, tuples are lists
        sealed = {FORMAT: self.format, HASH: digest({FORMAT: self.format, **plain}), **plain}
        try:
            return json.dumps(sealed, indent=1, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # a file name with bytes that are no text
            return json.dumps(sealed, indent=1).encode()

    def read(self, path: Path) -> Body:
        """The content of a document of any format up to this version's.

        Raises:
            MissingInputError: there is no such file.
            DataError: it is damaged, of another form or of a later format.
        """
        found = parse_json(read_bytes(path, LARGEST), f"{path}: is not {self.name}", self.cure)
        return self.opened(found, str(path))

    def opened(self, found: object, where: str) -> Body:
        """The content of a document that is read already; raises as `read`."""
        if not isinstance(found, dict):
            raise DataError(f"{where}: is not {self.name} (it holds no keys and values); {self.cure}")
        number, body = self._unsealed(found, where)
        try:
            for step in self.migrations[number - 1 :]:
                body = step(body)
            if self.form is not None:
                self.form.model_validate(body)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            key = ".".join(map(str, fault["loc"]))
            raise DataError(f"{where}: is not {self.name} ({key}: {fault['msg']}); {self.cure}") from None
        except (LookupError, TypeError, ValueError, AttributeError):
            raise DataError(f"{where}: is not {self.name} of format {number}; {self.cure}") from None
        return body

    def _unsealed(self, found: Body, where: str) -> tuple[int, Body]:
        """Format and content."""
        if FORMAT not in found and HASH not in found:
            return 1, found
        number = found.get(FORMAT)
        if found.get(HASH) != digest({key: value for key, value in found.items() if key != HASH}):
            raise DataError(f"{where}: is damaged or was changed (its hash does not fit); {self.cure}")
        if not isinstance(number, int) or not 2 <= number <= self.format:
            raise later(where, number, self.format)
        return number, {key: value for key, value in found.items() if key not in (FORMAT, HASH)}


def digest(content: object) -> str:
    """SHA-256 of plain data, whatever the order of keys and the spaces of the text."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def parse_json(content: bytes | str, wrong: str, cure: str) -> object:
    """JSON as plain data, whatever stands in its place; raises DataError, which begins with `wrong`."""
    try:
        return json.loads(content)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:  # also text that is no UTF-8, and numbers of thousands of digits
        reason = f"no JSON: {first_line(error)}"
    raise DataError(f"{wrong} ({reason}); {cure}")


_FIRST, _LAST = "# pixelflow format ", "# content_sha256 "


def seal_text(text: str, number: int) -> str:
    """Text whose comments begin with ``#``, between a line with its format and one with the hash of all before."""
    body = f"{_FIRST}{number}; a hash ends this file\n{text.rstrip()}\n"
    return f"{body}{_LAST}{hashlib.sha256(body.encode('utf-8', 'surrogateescape')).hexdigest()}\n"


def unseal_text(text: str, where: str, cure: str, newest: int) -> int:
    """The format of such text; 1 where it has neither line, as former versions wrote it.

    Raises:
        DataError: it does not fit its hash, or is of a later format.
    """
    lines = text.split("\n")
    if not any(line.startswith((_FIRST.rstrip(), _LAST.rstrip())) for line in lines):
        return 1
    number = lines[0].removeprefix(_FIRST).partition(";")[0]
    body = "".join(f"{line}\n" for line in lines[1:-2])
    if not (number.isascii() and number.isdigit() and len(number) < 9) or seal_text(body, int(number)) != text:
        raise DataError(f"{where}: is damaged or was changed (its hash does not fit); {cure}")
    if not 2 <= int(number) <= newest:
        raise later(where, number, newest)
    return int(number)
