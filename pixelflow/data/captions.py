"""Captions of the images in a folder: ``.txt`` files beside them, or tables in Hugging Face's imagefolder convention.

A table ``metadata.jsonl`` or ``metadata.csv`` names images in the column ``file_name``, relative to its own folder.
A ``.txt`` file holds one caption a line. An image in a table needs no ``.txt`` file.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pixelflow.core.errors import DataError

TABLES = ("metadata.jsonl", "metadata.csv")
_COLUMNS = ("text", "caption", "captions", "prompt")
"""Where a table's captions are looked for."""
MAX_BYTES = 1 << 20
"""Of a file of captions; a larger one holds none."""


class BadCaptionError(ValueError):
    """An image's captions cannot be read; the message says why."""


class Captions:
    """The captions of images, by their paths relative to `root`.

    Raises:
        DataError: a table cannot be read, or names an image that is not there.
    """

    def __init__(self, root: Path, files: Sequence[str], column: str | None) -> None:
        self._root = root
        self._of_file: dict[str, list[str]] = {}
        known = set(files)
        for folder in _folders(files):
            for name in TABLES:
                self._read_table(root / folder / name, folder, column, known)

    def _read_table(self, path: Path, folder: str, column: str | None, known: set[str]) -> None:
        if not path.is_file():
            return
        for place, file, captions in _rows(path, column):
            relative = os.path.normpath(Path(folder) / file)
            if relative not in known:
                raise DataError(f"{place}: names {file!r}, and no such image is below {path.parent}; mend or remove it")
            self._of_file.setdefault(relative, []).extend(captions)

    def has(self, file: str) -> bool:
        """Whether an image is in a table or has a ``.txt`` file."""
        return file in self._of_file or self._text_file(file).exists()

    def of(self, file: str) -> list[str]:
        """The captions of an image, one or more.

        Raises:
            BadCaptionError: they cannot be read, or all are empty.
        """
        if file not in self._of_file:
            return _in_file(self._text_file(file))
        return usable(self._of_file[file], "in the table")

    def shared(self, files: Sequence[str]) -> list[str]:
        """The images whose ``.txt`` file is another one's too, such as of ``a.jpg`` and ``a.png``."""
        by_stem = defaultdict(list)
        for file in files:
            if file not in self._of_file:
                by_stem[os.path.splitext(file)[0]].append(file)  # noqa: PTH122 - a million paths
        return [file for own in by_stem.values() if len(own) > 1 for file in own]

    def _text_file(self, file: str) -> Path:
        return (self._root / file).with_suffix(".txt")


def _folders(files: Sequence[str]) -> list[str]:
    """Every folder with an image somewhere below it, the root ("") first."""
    found = {""}
    for folder in {os.path.dirname(file) for file in files}:  # noqa: PTH120 - a million paths
        while folder not in found:
            found.add(folder)
            folder = os.path.dirname(folder)  # noqa: PTH120
    return sorted(found)


def _in_file(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadCaptionError(f"its caption {path.name} cannot be read ({error.strerror})") from None
    return lines(raw, path.name)


def lines(raw: bytes, name: str) -> list[str]:
    """The captions in the content of a text file, one or more.

    Raises:
        BadCaptionError: they cannot be read, or all are empty.
    """
    if len(raw) > MAX_BYTES:
        raise BadCaptionError(f"its caption {name} is larger than {MAX_BYTES} bytes")
    try:
        return usable(re.split(r"[\r\n]+", raw.decode("utf-8-sig")), name)
    except UnicodeDecodeError as error:
        raise BadCaptionError(f"its caption {name} is not UTF-8 text (byte {error.start})") from None


def usable(captions: Iterable[str], name: str) -> list[str]:
    """The captions that say something, one or more.

    Raises:
        BadCaptionError: all are empty, or one is no text that could be encoded.
    """
    found = [caption.strip() for caption in captions if caption.strip()]
    if not found:
        raise BadCaptionError(f"its caption {name} is empty")
    if any("\ud800" <= letter <= "\udfff" for caption in found for letter in caption):
        raise BadCaptionError(f"its caption {name} is not valid Unicode text (half a surrogate pair)")
    return found


def drawn(captions: Sequence[str], generator: torch.Generator) -> str | None:
    """One of an image's captions, at random; None if it has none."""
    if len(captions) < 2:
        return captions[0] if captions else None
    return captions[int(torch.randint(len(captions), (), generator=generator))]


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


def cell_captions(cell: Any, name: str) -> list[str]:
    """The captions in a cell of a table: a text or a list of texts, possibly empty ones; raises BadCaptionError."""
    captions = cell if isinstance(cell, list) else [cell]
    if not all(isinstance(caption, str) for caption in captions):
        raise BadCaptionError(f"{name!r} must be text or a list of texts")
    return captions


def json_captions(raw: bytes, name: str, column: str | None) -> list[str]:
    """The captions in a JSON object, one or more; raises BadCaptionError."""
    if len(raw) > MAX_BYTES:
        raise BadCaptionError(f"its caption {name} is larger than {MAX_BYTES} bytes")
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise BadCaptionError(f"its caption {name} is not a JSON object")
    chosen = column_of(row, column)
    return usable(cell_captions(row[chosen], chosen), name)


def _rows(path: Path, column: str | None) -> Iterator[tuple[str, str, list[str]]]:
    """(place, file name, captions) of every row of a table; raises DataError."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    for line, row in _json_rows(path, text) if path.suffix == ".jsonl" else _csv_rows(path, text):
        place = f"{path}:{line}"
        file = row.get("file_name")
        if not isinstance(file, str) or not file:
            raise DataError(f"{place}: has no 'file_name', the image's path relative to {path.parent}")
        yield place, file, _captions(place, row, column)


def _captions(place: str, row: Mapping[str, Any], column: str | None) -> list[str]:
    try:
        name = column_of(row, column)
        return cell_captions(row[name], name)
    except BadCaptionError as error:
        raise DataError(f"{place}: {error}") from None


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: is not a JSON object")
        yield number, row


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise DataError(f"{path}:{reader.line_num}: has another number of fields than the first line")
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: is not CSV ({error})") from None
