"""Captions of the images in a folder: ``.txt`` files beside them, or tables in Hugging Face's imagefolder convention.

A table ``metadata.jsonl`` or ``metadata.csv`` names images in the column ``file_name``, relative to its own folder.
A ``.txt`` file holds one caption a line. An image in a table needs no ``.txt`` file.
Tables are read row by row, none of which may be larger than a text file.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from pixelflow.data.caption_tables import MAX_BYTES, BadCaptionError, cell_captions, column_of, rows_of
from pixelflow.data.listing import Listing, plain
from pixelflow.system.errors import DataError, MissingInputError
from pixelflow.system.files import opened
from pixelflow.system.printing import printable

TABLES = ("metadata.jsonl", "metadata.csv")


class Captions:
    """The captions of images, by their paths relative to `root`.

    Raises:
        DataError: a table cannot be read, or names an image that is not there.
    """

    def __init__(self, root: Path, listing: Listing, column: str | None) -> None:
        self._root, self._listing = root, listing
        self._of_file: dict[str, list[str]] = {}
        known: dict[str, str] | None = None
        for folder in _folders(listing.images):
            for name in TABLES:
                if not (root / folder / name).exists():
                    continue
                known = known or _by_name(listing.images)
                self._read_table(root / folder / name, folder, column, known)

    def _read_table(self, path: Path, folder: str, column: str | None, known: Mapping[str, str]) -> None:
        for place, file, captions in rows_of(path, column):
            relative = os.path.normpath(os.path.join(folder, file))  # noqa: PTH118 - Path would make two of "a//b"
            image = known.get(relative) or known.get(plain(relative))
            if image is None:
                raise DataError(f"{place}: names {file!r}, and no such image is below {path.parent}; mend or remove it")
            self._of_file.setdefault(image, []).extend(captions)

    def has(self, file: str) -> bool:
        """Whether an image is in a table or has a ``.txt`` file."""
        return file in self._of_file or self._listing.text(file) is not None

    def of(self, file: str) -> list[str]:
        """The captions of an image, one or more.

        Raises:
            BadCaptionError: they cannot be read, or all are empty.
        """
        if file in self._of_file:
            return usable(self._of_file[file], "in the table")
        return _in_file(self._root / (self._listing.text(file) or f"{file} (none)"))

    def shared(self, files: Sequence[str]) -> list[str]:
        """The images whose ``.txt`` file is another one's too, such as of ``a.jpg`` and ``a.png``."""
        by_text = defaultdict(list)
        for file in files:
            text = self._listing.text(file)
            if file not in self._of_file and text is not None:
                by_text[text].append(file)
        return [file for own in by_text.values() if len(own) > 1 for file in own]


def _by_name(files: Sequence[str]) -> dict[str, str]:
    """The files by every spelling of their names; one that is spelled exactly so comes first."""
    return {plain(file): file for file in files} | {file: file for file in files}


def _folders(files: Sequence[str]) -> list[str]:
    """Every folder with an image somewhere below it, the root ("") first."""
    found = {""}
    for folder in {os.path.dirname(file) for file in files}:  # noqa: PTH120 - a million paths
        while folder not in found:
            found.add(folder)
            folder = os.path.dirname(folder)  # noqa: PTH120
    return sorted(found)


def _in_file(path: Path) -> list[str]:
    name = printable(path.name)
    try:
        with opened(path) as file:
            raw = file.read(MAX_BYTES + 1)
    except DataError:
        raise BadCaptionError(f"its caption {name} cannot be read (no plain file)") from None
    except MissingInputError as error:
        raise BadCaptionError(f"its caption {name} cannot be read ({error})") from None
    except OSError as error:
        raise BadCaptionError(f"its caption {name} cannot be read ({error.strerror})") from None
    return lines(raw, name)


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
