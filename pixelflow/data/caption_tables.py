"""Tables of captions beside images: ``metadata.jsonl`` and ``metadata.csv``, read row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from pixelflow.system.errors import DataError
from pixelflow.system.files import is_plain_file

_COLUMNS = ("text", "caption", "captions", "prompt")
"""Where a table's captions are looked for."""
MAX_BYTES = 1 << 20
"""Of a file of captions, of a row of a table, and of a cell; a larger one holds none."""

Row = tuple[int, Mapping[str, object]]
"""The line of the table on which a row begins, from 1, and its cells."""


class BadCaptionError(ValueError):
    """An image's captions cannot be read; the message says why."""


def column_of(there: Iterable[str], column: str | None) -> str:
    """The name of the column of captions: the one that is wanted, or the first that is commonly used.

    Raises:
        BadCaptionError: it is not there.
    """
    names = list(there)
    name = column or next((name for name in _COLUMNS if name in names), None)
    if name is None or name not in names:
        wanted = f"'{column}'" if column else f"any of {', '.join(_COLUMNS)}"
        raise BadCaptionError(f"has no column {wanted} (there are: {', '.join(map(str, names))}); set data.column")
    return name


def cell_captions(cell: object, name: str) -> list[str]:
    """The captions in a cell of a table: a text or a list of texts, possibly empty ones; raises BadCaptionError."""
    captions = cell if isinstance(cell, list) else [cell]
    texts = [caption for caption in captions if isinstance(caption, str)]
    if len(texts) != len(captions):
        raise BadCaptionError(f"{name!r} must be text or a list of texts")
    return texts


def rows_of(path: Path, column: str | None) -> Iterator[tuple[str, str, list[str]]]:
    """(place, file name, captions) of every row of a table; raises DataError."""
    if not is_plain_file(path):
        raise DataError(f"{path}: is no plain file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in _json_rows(path, file) if path.suffix == ".jsonl" else _csv_rows(path, file):
                place = f"{path}:{line}"
                name = row.get("file_name")
                if not isinstance(name, str) or not name:
                    raise DataError(f"{place}: has no 'file_name', the image's path relative to {path.parent}")
                yield place, name, _captions(place, row, column)
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text (byte {_first_odd_byte(path)}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _first_odd_byte(path: Path) -> int:
    """Where a file stops being UTF-8; a reader of text knows it only within what it read ahead."""
    place = 0
    with path.open("rb") as file:
        for line in iter(lambda: file.readline(8 * MAX_BYTES), b""):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return place + error.start
            place += len(line)
    return place


def _captions(place: str, row: Mapping[str, object], column: str | None) -> list[str]:
    try:
        name = column_of(row, column)
        return cell_captions(row[name], name)
    except BadCaptionError as error:
        raise DataError(f"{place}: {error}") from None


def _lines(path: Path, file: IO[str]) -> Iterator[str]:
    """The lines of a table with their ends; raises DataError for one that no row can fill."""
    for number, line in enumerate(iter(lambda: file.readline(MAX_BYTES + 1), ""), 1):
        if len(line) > MAX_BYTES:
            raise DataError(f"{path}:{number}: is longer than {MAX_BYTES} letters")
        yield line


def _json_rows(path: Path, file: IO[str]) -> Iterator[Row]:
    for number, line in enumerate(_lines(path, file), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: is not a JSON object")
        yield number, row


def _csv_rows(path: Path, file: IO[str]) -> Iterator[Row]:
    limit = csv.field_size_limit(MAX_BYTES)
    reader = csv.reader(_lines(path, file), strict=True)
    begins = 1
    try:
        names = next(reader, [])
        while True:
            begins = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if not cells:
                continue
            if len(cells) != len(names):
                raise DataError(f"{path}:{begins}: has another number of fields than the first line")
            yield begins, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}:{begins}: is not CSV ({error})") from None
    finally:
        csv.field_size_limit(limit)
